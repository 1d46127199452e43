"""All systems, in the order of the tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from wslpet.core.errors import InputError, TrainingError
from wslpet.study.mips.judging import Prediction
from wslpet.study.mips.systems import cams, fcn, ours, simple, unet
from wslpet.study.mips.systems.case import Case

SHUFFLED = "shuffled"


@dataclass(frozen=True)
class MipSystem:
    """A system: one row of the tables.

    Parameters
    ----------
    name : on the command line and in file names.
    title : as in the tables.
    supervision : what it learns from, of each training patient; lesion-free people are known to all that learn.
    test_input : what it is given at test time, beside the image.
    reference : where it is described, and how it is implemented here.
    predict : learns, and predicts people.
    needs_type : whether its masks come from the map of the type that it predicts, so that they are meaningless where
        it did not learn to tell the types.
    tells_presence : whether its score says that there is a lesion.
    """

    name: str
    title: str
    supervision: str
    test_input: str
    reference: str
    predict: Callable[[Case], list[Prediction]]
    needs_type: bool = False
    tells_presence: bool = True


_ALL = (
    MipSystem(
        "unet",
        "U-Net, full masks",
        "full masks",
        "nothing",
        "Ronneberger et al. 2015: MONAI's BasicUNet, five levels of 16 to 256 channels, on 4 mm pixels in the frame of "
        "the body, from scratch; augmentation; four windows of patients and two of lesion-free people a step. One "
        "patient in eight is held out for the validation curve.",
        unet.predict_unet,
    ),
    MipSystem(
        "cams",
        "CAMs alone",
        "type",
        "nothing",
        "Zhou et al. 2016; Amyar et al., §4: the CAM network with global average pooling, without the distance loss. "
        "The contour is that of a click, without the guard, at the strongest place of CAM × SUV: one lesion.",
        cams.predict_network,
        needs_type=True,
    ),
    MipSystem(
        "cams_told",
        "CAMs alone, type given",
        "type",
        "the cancer type",
        "The same networks; the map shown is that of the true type.",
        cams.predict_told,
    ),
    MipSystem(
        "cams_fcn",
        "CAMs & FCNs",
        "type",
        "nothing",
        "Amyar et al., §4, who do not describe it; read as Ahn et al. 2019: the CAMs of CAMs alone, cut at half their "
        "maximum and 41 % of the SUV there, are the masks that an FCN (Long et al. 2015) learns.",
        fcn.predict_fcn,
        needs_type=True,
    ),
    MipSystem(
        "cams_shipped",
        "CAMs alone, from the shipped weights",
        "type",
        "nothing",
        "The same without the distance loss, with our settings (log-sum-exp pooling), from model/pretrained_wslpet.pt, "
        "which learned from phantoms, with clicks and the distance loss.",
        cams.predict_network,
        needs_type=True,
    ),
    MipSystem(
        "cams_fcn_shipped",
        "CAMs & FCNs, from the shipped weights",
        "type",
        "nothing",
        "As CAMs & FCNs, of the same network as CAMs alone from the shipped weights.",
        fcn.predict_fcn,
        needs_type=True,
    ),
    MipSystem(
        "paper",
        "CAM and distance loss, as the paper",
        "type, one click",
        "nothing",
        "Amyar et al., §2: preset `paper` (2 mm, CAM of 1/16 of the input, linear SUV, average pooling, expected "
        "distance), one view, learned from patients only; the contour as for CAMs alone.",
        cams.predict_network,
        tells_presence=False,
    ),
    MipSystem(
        "cam_distance",
        "CAM and distance loss, our settings",
        "type, one click",
        "nothing",
        "The CAM network with our settings (4 mm, square root of SUV, log-sum-exp pooling), one view, from scratch.",
        cams.predict_network,
    ),
    MipSystem(
        "one_click",
        "ours, one click a patient",
        "type, one click",
        "nothing",
        "docs/reference/mips.md: guarded contours, the rest unknown, implants; from the shipped segmenter, and blended "
        "with it. The default of `wslpet train`.",
        ours.predict_learned,
    ),
    MipSystem(
        "every_lesion",
        "ours, a click on every lesion",
        "type, all clicks",
        "nothing",
        "The same from a click on every lesion.",
        ours.predict_learned,
    ),
    MipSystem(
        "full_masks",
        "ours, full masks",
        "type, full masks",
        "nothing",
        "The same network, start and blend, from full masks.",
        ours.predict_learned,
    ),
    MipSystem(
        "shipped",
        "ours, shipped segmenter as it is",
        "nothing",
        "nothing",
        "model/segmenter.pt, which learned from phantoms.",
        ours.predict_shipped,
    ),
    MipSystem(
        "shipped_cam",
        "ours, shipped CAM network as it is",
        "nothing",
        "nothing",
        "model/pretrained_wslpet.pt, which learned from phantoms with two views and depth; here it sees one view.",
        cams.predict_shipped_cam,
    ),
    MipSystem(
        "atlas",
        "atlas of normal uptake",
        "full masks, for one level",
        "nothing",
        "Excess over the 95 % quantile of lesion-free people, smoothed by a pixel of 2 mm (SD), at the level of the "
        "best mean Dice in training patients.",
        simple.predict_level,
    ),
    MipSystem(
        "threshold",
        "one threshold on the SUV",
        "full masks, for one level",
        "nothing",
        "The SUV of the best mean Dice of the training patients.",
        simple.predict_level,
    ),
    MipSystem(
        "click_41",
        "click + 41 %",
        "nothing",
        "a click on one lesion",
        "41 % of the maximum within 8 mm of the click, connected to it: one lesion.",
        simple.predict_click,
        tells_presence=False,
    ),
)
SYSTEMS = {system.name: system for system in _ALL}


def system_of(name: str) -> MipSystem:
    """The system of a name; `NAME-PART` is without a part, `NAME+shuffled` learns from shuffled labels.

    Only `ours.CLICKS` can be without a part of `ours.VARIANTS`.

    Raises
    ------
    InputError
        when there is none.
    """
    plain, _, control = name.partition("+")
    base, _, without = plain.partition("-")
    known = base in SYSTEMS and control in ("", SHUFFLED)
    if not known or (without and (base not in ours.CLICKS or without not in ours.VARIANTS)):
        raise InputError(f"system {name!r} does not exist; known are {', '.join(SYSTEMS)}")
    title = SYSTEMS[base].title + (f", without {without}" if without else "") + (", shuffled labels" if control else "")
    return replace(SYSTEMS[base], name=name, title=title)


def is_control(name: str) -> bool:
    """Whether a system learns from shuffled labels."""
    return name.endswith(f"+{SHUFFLED}")


def shuffled(case: Case) -> Case:
    """The case of a control: labels (cancer type or none, and click) of everybody shuffled, steps of its own.

    Labels to learn from and labels to be judged by are parts of one shuffle, as in a permutation test. So the AUC is
    0.5 in the mean, whatever the images show without labels, unless those of the judged leak into the training.
    """
    test = case.test.shuffled(case.effort.seed)
    cohort = test if case.cohort is case.test else case.cohort.shuffled(case.effort.seed)
    return replace(case, cohort=cohort, test=test, effort=replace(case.effort, steps=case.effort.control_steps))


def predictions(case: Case) -> list[Prediction]:
    """What a system says of people that it has not seen.

    A control says who is ill and of which type, and has no mask: shuffled clicks lie in no lesion. Where they lie in no
    uptake to learn from, its scores are 0.
    """
    predict = system_of(case.system).predict
    if not is_control(case.system):
        return predict(case)
    try:
        found = predict(replace(case, system=case.system.partition("+")[0]))
    except TrainingError as error:
        case.report(f"{case.system}: {error}")
        images = [case.test.people[k].image for k in case.numbers]
        return [Prediction(np.zeros(image.pixels.shape), None, 0.0, None) for image in images]
    return [replace(one, mask=None) for one in found]
