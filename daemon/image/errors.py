"""What can be wrong with the wishes for an image."""

from cache.errors import Blame, Failure


class BadImageSettings(Failure):
    """A setting of the image that no engine would take, or that contradicts another; `evidence["setting"]` names it."""

    kind = "bad_image_settings"
    title = "The image's settings cannot be used"
    blame = Blame.REQUEST
