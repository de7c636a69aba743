from __future__ import annotations

import pytest

from weft.daemon.process import answer_arguments


@pytest.mark.parametrize(
    ("argument", "code", "said"),
    [
        ("--help", 0, "WEFT_CONFIG"),
        ("--version", 0, "weftd 0."),
        ("--token=weft1secret", 2, "takes no arguments"),
        ("up", 2, "takes no arguments"),
    ],
)
def test_weftd_never_starts_when_it_is_given_arguments(
    argument: str, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        answer_arguments([argument])
    assert ended.value.code == code
    output = capsys.readouterr()
    assert said in output.out + output.err
