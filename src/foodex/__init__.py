"""FoodEx: delivery-time forecasts and promises for a food-delivery business."""

from importlib.metadata import version

__version__ = version("foodex")
