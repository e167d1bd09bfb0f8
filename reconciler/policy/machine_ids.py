"""What a machine id is: apart from other values, for those who know a machine and no policy language."""

import re

MACHINE_ID = r"^[0-9a-f]{32}$"


def machine_id_of(said: str) -> str:
    """Return what machine-id(5) allows, empty of anything else: what may stand there is nobody's business."""
    return said if re.fullmatch(MACHINE_ID, said) else ""
