"""What groups of settings are made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Group(BaseModel):
    """A group of settings: frozen, and a name that is not there is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


Port = Annotated[int, Field(ge=0, le=65535)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
