"""Read the JSON of a refusal: Roomkey's own, and API Gateway's."""


def parts(document: object) -> list[str]:
    """Return the error's code or message, empty if there is neither, then `field: reason` of each invalid field."""
    if not isinstance(document, dict):
        return [""]
    code = document.get("code")
    name = code if isinstance(code, str) else document.get("reason")  # The code of room codes is a number.
    errors = document.get("errors")
    listed = errors if isinstance(errors, list) else []
    return [
        str(name or document.get("message") or document.get("error") or ""),
        *(f"{error.get('field')}: {error.get('reason')}" for error in listed if isinstance(error, dict)),
    ]
