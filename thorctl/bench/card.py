"""The model card's table "Generation speed" with a device's measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thorctl.protocol.bench import Measurement
    from thorctl.release.profile import Card

CARDS_BATCH = 16
GB = 1e9  # the card counts in units of 10⁹ bytes


@dataclass(frozen=True, slots=True)
class Row:
    """One line; a missing figure is None.

    Attributes:
        what: the line's title, with its unit.
        device: the measured figure.
        model: the card's figure of this model.
        source: the card's figure of the unquantized source.
    """

    what: str
    device: float | None
    model: float | None = None
    source: float | None = None

    @property
    def share(self) -> float | None:
        """Return this device's figure as a share of the card's for this model."""
        return None if self.device is None or self.model is None else self.device / self.model

    def as_json(self) -> dict[str, Any]:
        """Return plain data."""
        share = None if self.share is None else round(self.share, 4)
        return {
            "what": self.what,
            "this_device": self.device,
            "this_model": self.model,
            "source": self.source,
            "share": share,
        }


def table(measurement: Measurement, card: Card | None) -> tuple[Row, ...]:
    """Return the card's lines in order, then further ones.

    The card has figures for a batch of 16 equal prompts only.
    """
    speed, source = (card.speed, card.source_speed) if card else (None, None)
    found, at_once = measurement.measured, measurement.method.at_once
    batched = speed if at_once == CARDS_BATCH else None
    size = measurement.checkpoint_bytes
    return (
        Row(
            "Single-stream decode (tok/s)",
            found.single.decode_tokens_per_second,
            speed.single_stream_tokens_per_second if speed else None,
            source.single_stream_tokens_per_second if source else None,
        ),
        Row(
            f"Batched ×{at_once}, identical (tok/s)",
            found.identical.decode_tokens_per_second,
            batched.batched_16_tokens_per_second if batched else None,
            source.batched_16_tokens_per_second if batched and source else None,
        ),
        Row(f"Batched ×{at_once}, different (tok/s)", found.different.decode_tokens_per_second),
        Row("Time to first token (ms)", found.single.ttft_median_ms),
        Row(
            "On-disk size (GB)",
            None if size is None else round(size / GB, 3),
            speed.on_disk_gb if speed else None,
            source.on_disk_gb if source else None,
        ),
    )
