"""Starting points for a run, by the base's family and size, the method and the task.

`preset(facts, quantised=…)` is one, each figure with its source; `apply` puts it into a config, and
`differences` says where a config has something else.
"""

from workbench.config.presets.build import apply, differences, preset
from workbench.config.presets.families import FAMILIES, family_of
from workbench.config.presets.family import Family, Member
from workbench.config.presets.figures import Difference, Figure, Note, Preset, Recipe, plain
from workbench.config.presets.tasks import TASKS, Task, task_of

__all__ = [
    "FAMILIES",
    "TASKS",
    "Difference",
    "Family",
    "Figure",
    "Member",
    "Note",
    "Preset",
    "Recipe",
    "Task",
    "apply",
    "differences",
    "family_of",
    "plain",
    "preset",
    "task_of",
]
