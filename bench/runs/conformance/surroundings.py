"""What of torch is shared by everything in a process, and must be after ``fit`` as it was before."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch


@dataclass(frozen=True)
class Surroundings:
    """Settings of the whole process; a method that changes one changes the methods that run after it."""

    default_dtype: torch.dtype
    default_device: torch.device
    gradients: bool
    threads: int
    deterministic: bool

    @classmethod
    def now(cls) -> Surroundings:
        return cls(
            default_dtype=torch.get_default_dtype(),
            default_device=torch.get_default_device(),
            gradients=torch.is_grad_enabled(),
            threads=torch.get_num_threads(),
            deterministic=torch.are_deterministic_algorithms_enabled(),
        )

    def changes(self) -> tuple[str, ...]:
        """Return what is different now, in words."""
        now = Surroundings.now()
        pairs = [(one.name, getattr(self, one.name), getattr(now, one.name)) for one in fields(self)]
        return tuple(f"torch's {name.replace('_', ' ')} ({a} to {b})" for name, a, b in pairs if a != b)

    def put_back(self) -> None:
        """Undo every change, so that one method's fault is not the next one's finding."""
        if torch.get_default_dtype() != self.default_dtype:
            torch.set_default_dtype(self.default_dtype)
        if torch.get_default_device() != self.default_device:
            torch.set_default_device(self.default_device)
        torch.set_grad_enabled(self.gradients)
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        if torch.are_deterministic_algorithms_enabled() != self.deterministic:
            torch.use_deterministic_algorithms(self.deterministic)
