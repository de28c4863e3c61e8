"""How unseen labels take over what seen ones score: fitted after training, without a second one."""

import numpy as np
import torch
from torch import Tensor

from c2srt_cli.progress import Progress
from c2srt_cli.scoring.average_precision import average_precision
from c2srt_cli.training.learner import Learner
from c2srt_cli.training.loop import Lesson

GAINS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6)
#: A gain is fitted on this many labels at least.
LEAST = 3


@torch.inference_mode()
def fit_transfer(learner: Learner, lesson: Lesson, progress: Progress) -> None:
    """Set the center and, where that is asked for, the gain of score transfer, on the watched photographs.

    The center is the mean of seen labels' scores, of softmaxes the fixed ones'. For the gain each seen label stands in
    for an unseen one: its own score is the frozen backbone's, which has not been taught it; those of its sources are
    the trained ones. Of gains the smallest is taken whose mean AP over labels is within a standard error of the best
    one's (Breiman et al. 1984), as labels differ more than gains do. Labels without positives, or without a
    seen source, say nothing; where fewer than `LEAST` say something, the gain stays as it is.

    Args:
        learner: Trained, with the frozen backbone beside it.
        lesson: What it has learned from.
        progress: Told what was found.
    """
    learner.eval()
    gain, center = learner.recogniser.fitted
    asked, graph = learner.labels(lesson.vocabulary, lesson.labels), lesson.vocabulary.graph
    own, before, photographs = list[Tensor](), list[Tensor](), list[np.ndarray]()
    for numbers, tokens, _ in lesson.watched.batches(np.arange(len(lesson.watched)), lesson.vocabulary.at_once):
        if len(numbers):
            trained, frozen = learner.apart(*learner.embed(tokens, asked), asked)
            own.append(trained.cpu())
            before.append(frozen.cpu())
            photographs.append(numbers)
    if graph is None or not own:
        return
    trained, recogniser = torch.cat(own), learner.recogniser
    center.copy_(recogniser.joined(trained, fixed=True).mean())
    now, untaught = recogniser.joined(trained), recogniser.joined(torch.cat(before))
    truth = lesson.annotations.truth(np.concatenate(photographs), lesson.labels)
    place = np.full(len(lesson.vocabulary.text), -1)
    place[lesson.labels] = np.arange(len(lesson.labels))
    mixing = torch.zeros(len(lesson.labels), len(lesson.labels))
    for edge in graph.edges:
        if place[edge.source] >= 0 <= place[edge.target]:
            mixing[place[edge.target], place[edge.source]] = edge.strength
    present = (truth > 0).any(0) & (mixing > 0).any(1).numpy()
    if not learner.config.optimisation.fit_gain or present.sum() < LEAST:
        return
    added = now @ mixing.T
    precision = np.stack(  # (gains, labels)
        [average_precision((untaught + by * added).numpy()[:, present].T, truth[:, present].T) for by in GAINS]
    )
    best = precision.mean(1).argmax()
    lost = precision[best] - precision  # of each label
    error = lost.std(1, ddof=1) / np.sqrt(lost.shape[1])
    chosen = next(i for i in range(len(GAINS)) if lost[i].mean() <= error[i])
    gain.fill_(GAINS[chosen])
    progress.note(
        f"gain {GAINS[chosen]}: mean AP of {present.sum()} seen labels by the frozen backbone's own scores "
        f"{precision[0].mean():.3f}, with transfer {precision[chosen].mean():.3f}"
    )
