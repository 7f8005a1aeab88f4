"""Descriptions of damage and of its absence: by whole words, with what denies them."""

from __future__ import annotations

import pytest

from adapters.ollama.polarity import says_bad, says_good

BAD = """
no lid and a cracked rim|a gear with no dents and scratched edges|
a gear without scratches, cracked edge|nothing but scratches|an imperfect gear|a broken gear|
every part is not good|the gear is no longer intact|a gear that is not perfect|
a gear with no label, torn at the edge|a rusty gear|a gear with rust|a gear that isn't good|
the gear doesn't look perfect|a gear far from perfect|a gear, not flawless|
not only clean but scratched gear|a defective gear|a gear with no dirt but a crack|
no lid and a torn edge|wrong colour of the gear|a gear with missing teeth|gear: cracked|
the lid doesn't have any defects, but it has a defect that shows up on its edges|
anything but flawless gear|a scratched non-stick gear|a non-stick gear with scratches|
a lead-free cracked joint|a scratch-resistant gear with a crack|a flawed gear|gear missing a tooth|
abnormal gear|a gear showing corrosion|a gear that is not smooth and has cracks|rust on the gear|
a torn gear|a gear has been damaged|a chipped gear|dented gear|a gear with several imperfections|
a gear with a scratch|a gear without burrs and with a dent|a gear, stained|not new; a cracked gear|
a gear with a problem
"""
GOOD = """
no scratched, cracked or dented gears|a gear that shows no sign of rust|
a gear that has not been damaged|free of any scratches|an anti-scratch lens case|every part is good|
a flawless gear|a gear without scratches|no dents on the gear|a scratch-free gear|
a gear that is not damaged|an undamaged gear|a defect-free gear|a gear free from defects|
the gear is fine|everything is in order|a normal gear|a good gear|
a gear that doesn't have any defects|a gear with no visible damage|no scratches, dents or cracks|
a gear without dents and in perfect condition|the gear has no cracks and no stains|
nothing is wrong with the gear|a non-defective gear|a rust-free gear|scratches are not visible|
a gear that never has scratches|not scratched, cracked or dented|blemish free gear|
the gear looks normal|a gear in good condition|an intact gear|a gear that isn't broken|defects: none|
a gear with neither cracks nor dents|the gear passes inspection|all parts are ok|
a gear devoid of imperfections|gear lacking any flaws|a gear without a single scratch|
a gear without any sign of wear or damage|a perfect gear|a gear without scratches, dents or cracks|
a gear free of rust|a perfectly round gear|a complete gear with nothing missing|
an undamaged gear with no stain|a corrosion-resistant gear|a stainless perfect gear|
a gear without any problems|every gear passes
"""
NEITHER = """
a corrugated board|a chipboard panel|a rustic gear|a gear with a crackle finish|rustic oak board|
a stained glass window|a cracker with salt|a round cracker|a dental mirror|a rust-coloured brick|
a tear-off lid|a denture|a tornado shaped lid|a deformable foam ring|an almost perfect gear|
an otherwise good gear with a bent tooth|a perfect gear except for a bent tooth|
a gear with a good-sized hole|a default label|a gear brighter than normal|stainless gear|
unbreakable glass|crusty bread roll|fractional scale|an indentation in the centre|
a gear with a bent tooth|a gear that is less than perfect|trusted brand label|industrial gear|
a robust gear|brushed steel|thrust washer|student badge|president coin|residential meter|
a chocolate chip cookie|a photo of a gear for anomaly detection
"""


@pytest.mark.parametrize(
    ("texts", "polarity"), [(BAD, (True, False)), (GOOD, (False, True)), (NEITHER, (False, False))]
)
def test_polarity(texts: str, polarity: tuple[bool, bool]) -> None:
    listed = [text for text in texts.replace("\n", "").split("|") if text]
    found = {text: (says_bad(text, "gear"), says_good(text, "gear")) for text in listed}
    assert found == dict.fromkeys(listed, polarity)


def test_the_words_of_the_noun_say_nothing() -> None:
    assert not says_bad("a crack filler tube with a cap", "crack filler")
    assert not says_good("a good night lamp with a shade", "good night lamp")
