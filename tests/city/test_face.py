import inspect

import foodex.city


def test_the_face_is_exactly_what_is_said() -> None:
    seen = {
        name
        for name, value in vars(foodex.city).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert seen == set(foodex.city.__all__)
    assert all(
        inspect.getdoc(getattr(foodex.city, name))
        for name in foodex.city.__all__
        if callable(getattr(foodex.city, name))
    )
