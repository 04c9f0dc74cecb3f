"""Commands about networks: train, label, score, calibrate, export."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from app.cli.options import Command, settings_of
from app.cli.output import say, show
from app.errors import InputError


def add_train(command: Command) -> None:
    train = command("train", _train, "train ReID weights on pictures of people", settings=True)
    train.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR",
                       help="Market-1501, CUHK03-NP, MSMT17, DukeMTMC-reID, or a folder for each person, also in "
                            "folders of cameras or of train/, val/, test/; "
                            "folders or zip files, several are trained on together")  # fmt: skip
    train.add_argument("--output", type=Path, required=True, metavar="DIR", help="weights, model card, log and state")
    train.add_argument("--resume", action="store_true", help="go on from the state in --output")


def _train(options: argparse.Namespace) -> dict[str, Any]:
    settings = settings_of(options)
    from app.reid.datasets import describe, open_people_data
    from app.reid.train.finetune import fine_tune
    from app.reid.train.loop import train
    from app.reid.train.pairs import has_pairs

    for path in options.data:
        sys.stderr.write(describe(open_people_data(path)) + "\n")
    run = fine_tune if settings.train.start_from and has_pairs(options.data) else train
    card = run(settings.train, options.data, options.output, options.resume)
    if not options.json:
        say(f"wrote {options.output}")
        if "verdict" in card:
            say(card["verdict"]["reason"])
    return card


def add_label(command: Command) -> None:
    label = command("label", _label, "mark the people in pictures with what several detectors agree on, for training")
    label.add_argument("--pictures", type=Path, nargs="+", required=True, metavar="PATH",
                       help="folders or zip files of pictures; boxes that come with them, as in YOLO's layout, "
                            "stay")  # fmt: skip
    label.add_argument("--teachers", type=Path, nargs="+", required=True, metavar="FILE",
                       help="weights of detectors, at least two of different kinds")  # fmt: skip
    label.add_argument("--sizes", type=int, nargs="+", default=[640, 640, 960, 1280], metavar="PX",
                       help="longer sides at which each looks, every second time at the mirrored picture "
                            "(default: 640 640 960 1280)")  # fmt: skip
    label.add_argument("--hold-out", nargs="+", default=[], metavar="PATTERN",
                       help="file names of pictures that are kept out of training: whole cameras, cam7-*")  # fmt: skip
    label.add_argument("--leave-out", nargs="+", default=[], metavar="PATTERN",
                       help="file names of pictures that are not used at all")  # fmt: skip
    label.add_argument("--output", type=Path, required=True, metavar="DIR", help="two data sets, train and held_out")


def _label(options: argparse.Namespace) -> dict[str, Any]:
    if any(size < 64 or size > 4096 or size % 32 for size in options.sizes):
        raise InputError(f"--sizes {' '.join(map(str, options.sizes))}: multiples of 32 from 64 to 4096")
    from app.detect.train.label import label_images

    summary = label_images(
        options.pictures, options.teachers, options.sizes, options.output, options.hold_out, options.leave_out
    )
    if not options.json:
        for part, counts in summary["counts"].items():
            say(f"{part}: {counts['pictures']} pictures, {counts['people']} people, {counts['disputed']} disputed")
    return summary


def add_train_detector(command: Command) -> None:
    detector = command("train-detector", _train_detector, "train detector weights on pictures of people", settings=True)
    detector.add_argument("--data", type=Path, nargs="+", required=True, metavar="PATH",
                          help="data sets in YOLO's layout, images/ and labels/ and perhaps masks/, "
                               "anywhere within folders or zip files")  # fmt: skip
    detector.add_argument("--output", type=Path, required=True, metavar="DIR", help="pictures, state, finished weights")
    detector.add_argument("--resume", action="store_true", help="go on from the state in --output")


def _train_detector(options: argparse.Namespace) -> dict[str, Any]:
    settings = settings_of(options)
    from app.detect.train.adapt import adapt_detector
    from app.detect.train.loop import train_detector

    run = adapt_detector if settings.train_detector.start_from else train_detector
    scores = run(settings.train_detector, options.data, options.output, options.resume)
    if not options.json:
        say(f"wrote {scores['weights']}")
    return scores


def add_evaluate_reid(command: Command) -> None:
    reid = command(
        "evaluate-reid", _evaluate_reid, "score ReID weights on data sets such as Market-1501 or VIPeR", settings=True
    )
    reid.add_argument("--weights", required=True, metavar="FILE", help="weight file or bundled name")
    reid.add_argument("--data", type=Path, nargs="+", required=True, metavar="PATH",
                      help="data sets, folders or zip files; of several, a table with the mean")  # fmt: skip
    reid.add_argument("--everybody", action="store_true",
                      help="of sets without queries look for all people, not for random halves of them")  # fmt: skip
    reid.add_argument("--rerank", action="store_true", help="k-reciprocal re-ranking")
    reid.add_argument("--single-shot", action="store_true",
                      help="CUHK03's protocol: random galleries that show everyone once, averaged")  # fmt: skip
    reid.add_argument("--pictures", type=Path, metavar="DIR",
                      help="also draw ranked lists, activation maps and a reliability diagram")  # fmt: skip
    reid.add_argument("--seed", type=int, default=0, metavar="N", help="of those draws (default: 0)")
    reid.add_argument("--device", metavar="auto|cpu|cuda:0", help="where the network runs (default: auto)")


def _evaluate_reid(options: argparse.Namespace) -> dict[str, Any]:
    settings = settings_of(
        options,
        {"reid.weights": ("--weights", options.weights), "reid.device": ("--device", options.device)},
    )
    from app.reid.evaluate import evaluate_reid, evaluate_sets, sets_table

    share = 1.0 if options.everybody else 0.5
    if len(options.data) > 1:
        if options.rerank or options.single_shot or options.pictures:
            raise InputError("--rerank, --single-shot and --pictures go with one data set at a time")
        sets = evaluate_sets(settings.reid, options.data, share, options.seed)
        if not options.json:
            show(sets_table(sets))
        return dict(sets)
    scores = evaluate_reid(
        settings.reid,
        options.data[0],
        split_share=share,
        rerank=options.rerank,
        single_shot=options.single_shot,
        seed=options.seed,
        pictures=options.pictures,
    )
    if not options.json:
        say("  ".join(f"{name} {value:.2f}" if isinstance(value, float) else f"{name} {value}"
                       for name, value in scores.items()))  # fmt: skip
    return scores


def add_evaluate_detector(command: Command) -> None:
    found = command("evaluate-detector", _evaluate_detector, "average precision of a detector, over all and by height",
                    settings=True)  # fmt: skip
    found.add_argument("--weights", default="auto", metavar="auto|FILE", help="the detector (default: auto)")
    found.add_argument("--data", type=Path, nargs="+", required=True, metavar="PATH",
                       help="data sets in YOLO's layout in folders or zip files, or videos with gt/gt.txt "
                            "beside them or in the folder of their name")  # fmt: skip
    found.add_argument("--every", type=int, default=1, metavar="N", help="of videos, every n-th picture (default: 1)")


def _evaluate_detector(options: argparse.Namespace) -> dict[str, Any]:
    settings = settings_of(options, {"detect.weights": ("--weights", options.weights)})
    if options.every < 1:
        raise InputError(f"--every {options.every}: must be at least 1")
    from app.detect.evaluate import detector_table, evaluate_detector, heights_table

    scores = evaluate_detector(settings.detect, options.data, options.every)
    if not options.json:
        show(detector_table(scores))
        show(heights_table(scores))
    return scores


def add_calibrate_reid(command: Command) -> None:
    calibrated = command("calibrate-reid", _calibrate_reid,
                         "fit what a network's distances mean in places that it was not trained in")  # fmt: skip
    calibrated.add_argument("--weights", "--reid", required=True, metavar="NAME|FILE",
                            help="what to calibrate: weight file or bundled name")  # fmt: skip
    shown = calibrated.add_mutually_exclusive_group(required=True)
    shown.add_argument("--data", type=Path, nargs="+", metavar="DIR",
                       help="pictures of people with names, of three places or more that the weights were not trained "
                            "on; one folder or zip file each")  # fmt: skip
    shown.add_argument("--run", dest="runs", type=Path, nargs="+", metavar="RUN",
                       help="runs over your own footage, in which nobody has a name: people in view together are "
                            "strangers, early and late pictures of one tracklet show one person")  # fmt: skip
    calibrated.add_argument("--trust-weights", action="store_true", help="load a TorchScript file")


def _calibrate_reid(options: argparse.Namespace) -> dict[str, Any]:
    if options.runs:
        from app.runs.people.footage_calibration import calibrate_on_runs

        made = calibrate_on_runs(options.weights, options.runs, options.trust_weights)
        if not options.json:
            say(f"{made['pairs_of_strangers']} pairs of strangers at a distance of "
                 f"{made['mean_distance_of_strangers']:.3f}, {made['pairs_of_one_person']} of early and late pictures "
                 f"of {made['tracklets']} tracklets at {made['mean_distance_within_tracklets']:.3f}")  # fmt: skip
            say(f"wrote {made['file']}, which the next run uses")
        return made
    from app.reid.calibrating import calibrate_reid

    made = calibrate_reid(options.weights, options.data, options.trust_weights)
    if not options.json:
        for name, place in made["left_out"].items():
            shares = f"{100 * place['strangers']:.2f} % of strangers, {100 * place['same']:.1f} % of one person"
            say(f"{name}, left out: pairs taken for one person: {shares}")
        say(f"wrote {made['file']}")
    return made


def add_export_reid(command: Command) -> None:
    converted = command("export-reid", _export_reid, "write ReID weights for other programs, checked")
    converted.add_argument("--weights", required=True, metavar="NAME|FILE", help="weight file or bundled name")
    converted.add_argument("--format", required=True, choices=["onnx", "openvino", "torchscript", "tensorrt"],
                           help="what to write; tensorrt needs a GPU of NVIDIA's")  # fmt: skip
    converted.add_argument("--output", type=Path, required=True, metavar="FILE",
                           help="ends in .onnx, .xml, .pt or .engine; --reid takes all but the last back")  # fmt: skip


def _export_reid(options: argparse.Namespace) -> dict[str, Any]:
    from app.reid.export import export_reid

    made = export_reid(options.weights, options.format, options.output)
    if not options.json:
        say(f"wrote {made['file']}; largest cosine error {made['max_cosine_error']:.2g}")
    return made
