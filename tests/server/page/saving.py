"""What a browser sends to save a click."""

import uuid


def saving(scan, cancer_type="lung", annotator="Ann", **more):
    own = {"id": uuid.uuid4().hex, "cancer_type": cancer_type, "position": scan.centre.tolist()}
    return {**own, "annotator": annotator, **more}
