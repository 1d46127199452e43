"""CAMs & FCNs on one view: a fully convolutional network that learns pseudo-masks made from CAMs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from wslpet.core.seeds import NO_TUMOUR
from wslpet.core.settings import Settings
from wslpet.data.mip_cohort import MipPerson
from wslpet.method.network.checkpoint import Model
from wslpet.method.network.inputs import Batch, Example, collate, network_channels
from wslpet.method.training.augmentation import Augmentation, augmented_batches
from wslpet.study.mips.cohort import Cohort
from wslpet.study.mips.judging import Prediction
from wslpet.study.mips.systems.cams import at_pixels, cam_model, example, predict_cams
from wslpet.study.mips.systems.case import Case
from wslpet.study.systems.cams_fcn import FCN, LEARNING_RATE, mask_loss, pseudo_masks

VIEW = "coronal"
THRESHOLD = 0.5


def learn_fcn(cohort: Cohort, numbers: Sequence[int], cams: Model, epochs: int) -> FCN:
    """Train the FCN on pseudo-masks of the augmented people; those of lesion-free people are empty."""
    settings = cams.settings
    torch.manual_seed(settings.random_seed)
    rng = np.random.default_rng(settings.random_seed)
    samples = [example(cohort.people[k], settings).to("cpu") for k in numbers]
    network = FCN(2 + settings.depth)
    steps = epochs * -(-len(samples) // settings.batch_size)
    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
    for _ in range(epochs):
        for batch in augmented_batches(samples, settings, rng, Augmentation()):
            loss = mask_loss(network(network_channels(batch, VIEW, settings)), _targets(cams, batch, settings))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
    return network.eval()


def _targets(cams: Model, batch: Batch, settings: Settings) -> Tensor:
    ill = batch.types != settings.classes.index(NO_TUMOUR)
    return pseudo_masks(cams, batch)[VIEW] * ill[:, None, None, None]


def predict_fcn(case: Case) -> list[Prediction]:
    """Learn, and predict the FCN's mask; type and score are those of the CAM network."""
    cams = cam_model(case, case.system.replace("cams_fcn", "cams"))
    network = learn_fcn(case.cohort, case.learn_from, cams, case.effort.fcn_epochs)
    named = predict_cams(case.test, case.numbers, cams, True)
    people = [case.test.people[k] for k in case.numbers]
    return [_prediction(person, cams, network, one) for person, one in zip(people, named, strict=True)]


@torch.inference_mode()
def _prediction(person: MipPerson, cams: Model, network: FCN, named: Prediction) -> Prediction:
    settings = cams.settings
    batch = collate([Example(example(person, settings).images, None, NO_TUMOUR).to("cpu")], settings)
    found = network(network_channels(batch, VIEW, settings))[0, 0].sigmoid().numpy()
    strength = at_pixels(found, person, settings, 1)
    return Prediction(strength, strength >= THRESHOLD, named.score, named.cancer_type, named.probability)
