from __future__ import annotations

from pathlib import Path

import pytest

from workbench import settings
from workbench.errors import WorkbenchError
from workbench.settings import Settings


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    place = settings.path()
    place.parent.mkdir()
    return place


def test_a_person_who_has_set_nothing_has_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nowhere"))
    assert settings.read() == Settings()


def test_the_command_at_the_end_is_a_list_of_words(written: Path) -> None:
    written.write_text('on_end = ["notify-send", "{run} {status}"]\n')
    assert settings.read().on_end == ("notify-send", "{run} {status}")


def test_the_command_of_an_alarm_has_places_of_its_own(written: Path) -> None:
    written.write_text('on_alarm = ["notify-send", "{run}: {alarm}", "{next_step}"]\n')
    assert settings.read().on_alarm == ("notify-send", "{run}: {alarm}", "{next_step}")
    assert settings.read().on_end == ()
    written.write_text('on_alarm = ["say", "{alarms}"]')
    with pytest.raises(WorkbenchError, match=r"on_alarm has \{alarms\}") as caught:
        settings.read()
    assert "Did you mean {alarm}?" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("on_end = [", "not valid TOML"),
        ('on_end = "rm -rf ~"', "must be a list of words"),
        ('on_end = ["true", 7]', "must be a list of words"),
        ('on_edn = ["true"]', "no setting on_edn"),
        (b"on_end = [\xff]", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_told_with_the_file(written: Path, text: str | bytes, said: str) -> None:
    written.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(WorkbenchError, match=said) as error:
        settings.read()
    assert str(written) in error.value.message


def test_a_slip_in_what_is_filled_in_is_refused_and_other_braces_are_left(written: Path) -> None:
    written.write_text('on_end = ["say", "{statuss}"]')
    with pytest.raises(WorkbenchError, match=r"has \{statuss\}, which nothing fills in") as caught:
        settings.read()
    assert "Did you mean {status}?" in caught.value.hint
    written.write_text('on_end = ["awk", "{print}", "{run}"]')
    assert settings.read().on_end == ("awk", "{print}", "{run}")


def test_how_the_app_is_drawn_is_set_too(written: Path) -> None:
    written.write_text('theme = "nord"\nanimation = "off"\nsymbols = "block"\nmouse = false\n')
    assert settings.read() == Settings(theme="nord", animation="off", symbols="block", mouse=False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('symbols = "brail"', "symbols must be one of auto, braille, block, ascii"),
        ("animation = true", "animation must be one of auto, off, on"),
        ('mouse = "no"', "mouse must be true or false"),
        ("theme = 3", "theme must be the name of a theme"),
    ],
)
def test_what_can_not_be_drawn_is_told_with_what_can(written: Path, text: str, said: str) -> None:
    written.write_text(text)
    with pytest.raises(WorkbenchError, match=said):
        settings.read()
