"""Uptake of soft tissue, bones and marrow."""

from __future__ import annotations

import numpy as np

from wslpet.data.phantom.body.anatomy import OUTLINE
from wslpet.data.phantom.body.painter import Clip, Painter, turned
from wslpet.data.phantom.body.shapes import Point, Waves


def soft_tissue(p: Painter) -> None:
    """Skin, subcutaneous fat, muscle and the fat of the belly."""
    body, canvas = p.body, p.canvas
    fat, muscle = p.level("fat", p.uptake.fat), p.level("muscle", p.uptake.muscle)
    grain = Waves.draw(p.stream("muscle texture"), 30.0, 32)
    for name, (line, radii) in body.limbs.items():
        p.cord(name + " fat", line, radii, fat)
    box = canvas.reference_box((-260, -200, -230), (260, 200, 880))
    if box is not None:
        canvas.paint(box, canvas.fraction(body.trunk_distance(box.reference)), fat)
        inner = canvas.fraction(body.trunk_distance(box.reference, inset=body.fat_mm), 9.0)
        canvas.paint(box, inner, np.float32(muscle) * np.exp(np.float32(0.12) * grain.on(box.reference)))
    for name, (line, radii) in body.limbs.items():
        p.cord(name, line, np.maximum(radii - 0.5 * body.fat_mm, 0.6 * radii), muscle, patchy=0.2, edge=8.0)
    p.blob("belly", (0, 18, 190), (112, 66, 165), 0.35 * fat + 0.65 * muscle, texture=0.3, grain_mm=26, edge=10.0)
    if body.sex == "female":
        size = 30 + 0.9 * body.fat_mm
        for s in (1, -1):
            front = float(np.interp(450, OUTLINE[:, 0], OUTLINE[:, 2])) + 0.5 * body.fat_mm
            p.blob(
                f"breast {s}",
                (72 * s, front, 448),
                (1.5 * size, 0.65 * size, 1.3 * size),
                1.2 * fat,
                texture=0.2,
                clip=in_front_of(88),
            )


def in_front_of(limit_mm: float) -> Clip:
    """Clip organs to the space in front of a coronal plane, y in reference mm."""
    return lambda x, y, z: np.float32(limit_mm) - y


def skeleton(p: Painter) -> None:
    """Red marrow: spine, sacrum, pelvis, proximal femora and humeri, sternum."""
    marrow = p.level("marrow", p.uptake.marrow)
    spine(p, marrow)
    limbs = p.body.limbs
    for side, s in (("right", 1), ("left", -1)):
        hip_bone(p, side, s, marrow, ((68 * s, -38, 122), (11, 34, 46)), ((76 * s, -18, 52), (16, 24, 26)))
        leg = limbs[f"{side} leg"][0]
        femur = np.stack([leg[0], 0.4 * leg[0] + 0.6 * leg[1]])
        p.cord(f"{side} femur", femur, np.array([15.0, 8.0]), 0.6 * marrow, edge=18.0)
        arm = limbs[f"{side} arm"][0]
        humerus = np.stack([arm[0], 0.8 * arm[0] + 0.2 * arm[1]])
        p.cord(f"{side} humerus", humerus, np.array([16.0, 8.0]), 0.6 * marrow, edge=16.0)
        shoulder = np.array([(30 * s, 62, 572), (90 * s, 30, 590), (150 * s, 0, 592)], dtype=float)
        p.cord(f"{side} clavicle", shoulder, 5.0, 0.55 * marrow, edge=10.0)
    sacrum(p, marrow)
    p.cord("sternum", np.array([(0, 84, 430), (0, 82, 500), (0, 66, 560)], dtype=float), 9.0, 0.8 * marrow)


def hip_bone(
    p: Painter, side: str, s: int, marrow: float, ilium: tuple[Point, Point], acetabulum: tuple[Point, Point]
) -> None:
    """Ilium and acetabulum of one side (`s`: +1 right, -1 left), each by its centre and radii."""
    p.blob(f"{side} ilium", *ilium, 0.85 * marrow, rotation=turned(z=-32 * s, y=18 * s))
    p.blob(f"{side} acetabulum", *acetabulum, 0.7 * marrow)


def sacrum(p: Painter, marrow: float) -> None:
    """The sacrum."""
    p.blob("sacrum", (0, -62, 88), (42, 15, 40), 0.9 * marrow, rotation=turned(x=-25))


def spine(p: Painter, marrow: float) -> None:
    """Vertebral bodies with discs between them, and the arches behind."""
    body, canvas = p.body, p.canvas
    box = canvas.reference_box((-45, -125, 60), (45, 15, 735))
    if box is None:
        return
    x, y, z = box.reference.mesh
    cx, cy = (c.astype(np.float32) for c in body.curve(body.spine, z.ravel()))
    half = np.interp(z.ravel(), (60, 180, 320, 480, 600, 735), (27, 25, 20, 16, 10, 8)).astype(np.float32)
    period = np.interp(z.ravel(), (60, 300, 560, 735), (37, 32, 23, 17))
    turns = np.cumsum(np.concatenate([[0], np.diff(z.ravel()) / period[1:]])) + z.ravel()[0] / 30.0
    disc = (0.74 + 0.26 * np.tanh(3 * (np.cos(2 * np.pi * turns) + 0.55))).astype(np.float32)
    r = np.sqrt(((x - cx) / half) ** 2 + ((y - cy) / (0.8 * half)) ** 2)
    vertebra = canvas.fraction((r - 1) * half)
    grain = Waves.draw(p.stream("marrow texture"), 30.0).on(box.reference)
    canvas.paint(box, vertebra, np.float32(marrow) * disc * (1 + np.float32(0.08) * grain))
    arch = np.sqrt((x - cx) ** 2 + ((y - cy + 1.6 * half) * np.float32(0.8)) ** 2) - 0.5 * half
    canvas.paint(box, canvas.fraction(np.maximum(arch, 110 - z)), np.float32(0.65 * marrow) * disc)
