import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import text
from smpp_bind import encoding


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", ("GSM-7", 1)),
        ("a" * 160, ("GSM-7", 1)),
        ("a" * 161, ("GSM-7", 2)),
        ("a" * 306, ("GSM-7", 2)),
        ("a" * 307, ("GSM-7", 3)),
        ("é§ñ\n\r", ("GSM-7", 1)),
        ("€" * 80, ("GSM-7", 1)),
        ("€" * 80 + "a", ("GSM-7", 2)),
        # The escape pair that would straddle the border moves whole into the second part.
        ("a" * 152 + "€" + "b" * 152, ("GSM-7", 3)),
        ("a" * 153 + "€" + "b" * 151, ("GSM-7", 2)),
        ("`", ("UCS-2", 1)),
        ("\t", ("UCS-2", 1)),
        ("я" * 70, ("UCS-2", 1)),
        ("я" * 71, ("UCS-2", 2)),
        ("😀" * 35, ("UCS-2", 1)),
        ("😀" * 36, ("UCS-2", 2)),
        # 67 units hold 33 pairs and a half that waits for the next part.
        ("😀" * 66, ("UCS-2", 2)),
        ("😀" * 67, ("UCS-2", 3)),
        ("я" + "😀" * 33 + "я" * 67, ("UCS-2", 2)),
    ],
)
def test_counts_parts(given, expected):
    assert text.analyse(given) == expected


@given(st.text(alphabet=st.sampled_from("ab€[]~😀я\n"), max_size=400))
def test_counts_what_the_segmenter_makes(given):
    _encoding, parts = text.analyse(given)
    segments = encoding.segment(text=given, concatenation="udh8", reference=1)
    assert parts == len(segments.parts)
