"""Compiled tables against cantools on random layouts and payloads: no difference; random bytes: no exception."""

import tempfile
from pathlib import Path

import cantools
import numpy as np
from cantools.database.can import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.api import BusSpec, SourceSpec
from adapters.can.frame import EXTENDED, pack_frames
from adapters.can.pipeline import FramePipeline
from information_model.device_map import DeviceMap
from server.config.maps import find_map

HERE = Path(__file__).parent
NODE_OFFSET = 64


@st.composite
def signals_of_a_page(draw: st.DrawFn, prefix: str, page: int | None, first_bit: int) -> list[str]:
    """Signals that follow one another from `first_bit` on, all of one byte order, as lines of a DBC."""
    big = draw(st.booleans())
    lines, bit = [], first_bit + draw(st.integers(0, 3))
    while bit < 64 and len(lines) < 6:
        length = draw(st.integers(1, min(64 - bit, draw(st.sampled_from([4, 13, 16, 33, 64])))))
        # The same place on the wire is numbered by the lowest bit in one byte order and by the highest in the other.
        start = bit // 8 * 8 + 7 - bit % 8 if big else bit
        sign = draw(st.sampled_from("+-"))
        scale, offset = draw(
            st.sampled_from([("1", "0"), ("0.001", "0"), ("-0.5", "3"), ("2", "-40"), ("0.1", "-273.15")])
        )
        if length > 52:
            scale, offset = "1", "0"  # beyond, the exact whole numbers of cantools are not floating-point numbers
        mux = "" if page is None else f" m{page}"
        name = f"{prefix}_{len(lines) + 1}"
        lines.append(f' SG_ {name}{mux} : {start}|{length}@{0 if big else 1}{sign} ({scale},{offset}) [0|0] "" N')
        bit += length + draw(st.integers(0, 9))
    return lines


@st.composite
def databases(draw: st.DrawFn) -> str:
    """A DBC of one to three messages: plain and multiplexed, 11 and 29 bits, both byte orders, floating point."""
    text = ['VERSION ""', "NS_ :", "BS_:", "BU_: N"]
    floats = []
    for number in range(draw(st.integers(1, 3))):
        ident = 0x100 + number if draw(st.booleans()) else EXTENDED | (0x18FF0000 + number)
        text.append(f"BO_ {ident} M{number}: 8 N")
        kind = draw(st.sampled_from(["plain", "pages", "pages", "float"]))
        if kind == "plain":
            text += draw(signals_of_a_page(f"S{number}", None, 0))
        elif kind == "float":
            text += [f' SG_ S{number}_1 : 0|32@1- (1,0) [0|0] "" N', f' SG_ S{number}_2 : 32|16@1+ (1,0) [0|0] "" N']
            floats.append(f"SIG_VALTYPE_ {ident} S{number}_1 : 1;")
        else:
            width = draw(st.sampled_from([3, 8]))
            text.append(f' SG_ Page{number} M : 0|{width}@1+ (1,0) [0|0] "" N')
            for page in draw(st.sets(st.integers(0, 2**width - 1), min_size=1, max_size=4)):
                text += draw(signals_of_a_page(f"S{number}p{page}", page, 8))
    return "\n".join([*text, "", *floats, ""])


def pipeline_of(text: str, nodes: list[int]) -> tuple[FramePipeline, list[Message], list[tuple[str, str]]]:
    """A pipeline over all signals, the messages, and (message, signal) of each slot of a source."""
    messages = cantools.database.load_string(text, "dbc", strict=False).messages
    names = [(m.name, s.name) for m in messages for s in m.signals]
    document = {
        "version": 1,
        "name": "random",
        "kind": "can",
        "dbc": "random.dbc",
        "node_offset": NODE_OFFSET,
        "scalar": [
            {"point": f"Test.P{n}", "message": message, "signal": signal, "period": 1.0, "timeout": 3.0}
            for n, (message, signal) in enumerate(names)
        ],
    }
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "random.dbc").write_text(text)
        device_map = DeviceMap.model_validate(document).placed_in(Path(folder))
        sources = tuple(
            SourceSpec(f"R{node}", node, device_map, number * len(names)) for number, node in enumerate(nodes)
        )
        return FramePipeline(BusSpec("random", "can", {}, sources)), messages, names


@settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    text=databases(),
    nodes=st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True),
    seed=st.integers(0, 2**32 - 1),
)
def test_tables_and_cantools_agree_on_every_value_of_every_rack(text: str, nodes: list[int], seed: int) -> None:
    pipeline, messages, names = pipeline_of(text, nodes)
    rng = np.random.default_rng(seed)
    frames = 40
    which, node = rng.integers(0, len(messages), frames), rng.integers(0, len(nodes), frames)
    payloads = [row.tobytes() for row in rng.integers(0, 256, (frames, 8), np.uint8)]
    ids = [
        (messages[m].frame_id + nodes[n] * NODE_OFFSET) | (EXTENDED if messages[m].is_extended_frame else 0)
        for m, n in zip(which, node, strict=True)
    ]
    batch = pipeline.feed(*pack_frames(ids, payloads, list(range(frames))))
    found = {
        (stamp, slot): value
        for stamp, slot, value in zip(batch.mono_ns.tolist(), batch.slot.tolist(), batch.value.tolist(), strict=True)
    }
    expected = {}
    for number, (m, n) in enumerate(zip(which, node, strict=True)):
        try:
            values = messages[m].decode(payloads[number], decode_choices=False)
        except cantools.database.DecodeError:
            continue
        for slot, (message, signal) in enumerate(names):
            if message == messages[m].name and signal in values:
                value = float(values[signal])
                expected[number, int(n) * len(names) + slot] = value if np.isfinite(value) else np.nan
    np.testing.assert_equal(found, expected)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(
    frames=st.lists(
        st.tuples(
            st.one_of(st.sampled_from([0x102, 0x6F2]), st.integers(0, 2**32 - 1)),
            st.binary(max_size=8),
            st.integers(-(2**40), 2**62),
        ),
        max_size=40,
    )
)
def test_no_frame_ends_the_pipeline_and_no_value_is_infinite(frames: list[tuple[int, bytes, int]]) -> None:
    source = SourceSpec("R1", 0, find_map("tesla_model_s.toml", HERE), 0)
    pipeline = FramePipeline(BusSpec("bus", "can", {}, (source,)))
    columns = [list(column) for column in zip(*frames, strict=True)] or [[], [], []]
    batch = pipeline.feed(*pack_frames(*columns))
    assert pipeline.counters.frames == len(frames)
    assert len(batch.slot) == len(batch.value) == len(batch.mono_ns) == len(batch.quality)
    assert ((batch.slot >= 0) & (batch.slot < 130)).all()
    assert (np.isfinite(batch.value) == (batch.quality == 0)).all()


PROTECTED_DBC = """VERSION ""
BO_ 256 Status: 8 N
 SG_ S : 0|16@1- (0.1,0) [0|0] "" N
 SG_ Alive : 52|4@0+ (1,0) [0|0] "" N
BO_ 257 Short: 3 N
 SG_ Short_1 : 0|24@1+ (1,0) [0|0] "" N
BO_ 258 Nested: 8 N
 SG_ Outer M : 0|4@1+ (1,0) [0|0] "" N
 SG_ Inner m1M : 4|4@1+ (1,0) [0|0] "" N
 SG_ Deep m2 : 8|32@1- (1,0) [0|0] "" N
SG_MUL_VAL_ 258 Inner Outer 1-1;
SG_MUL_VAL_ 258 Deep Inner 2-2;
SIG_VALTYPE_ 258 Deep : 1;
"""


@settings(max_examples=60, derandomize=True, deadline=None)
@given(
    batches=st.lists(
        st.lists(
            st.tuples(st.sampled_from([256, 257, 258, 320, 321, 322]), st.binary(max_size=8), st.integers(0, 2**62)),
            min_size=1,
            max_size=30,
        ),
        max_size=6,
    )
)
def test_no_frame_of_a_protected_or_nested_message_ends_the_pipeline(
    batches: list[list[tuple[int, bytes, int]]],
) -> None:
    document = {
        "version": 1,
        "name": "protected",
        "kind": "can",
        "dbc": "protected.dbc",
        "node_offset": NODE_OFFSET,
        "scalar": [
            {"point": f"Test.P{n}", "signal": signal, "period": 0.1, "timeout": 1.0}
            for n, signal in enumerate(["S", "Short_1", "Deep"])
        ],
        "check": [
            {
                "message": "Status",
                "crc": {"poly": 0x1D, "byte": 7, "over": 7},
                "counter": {"signal": "Alive", "modulo": 15},
                "liveness": True,
            },
            {"message": "Short", "counter": {"start": 0, "length": 1}},
        ],
    }
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "protected.dbc").write_text(PROTECTED_DBC)
        device_map = DeviceMap.model_validate(document).placed_in(Path(folder))
        sources = tuple(SourceSpec(f"R{node}", node, device_map, 3 * node) for node in (0, 1))
        pipeline = FramePipeline(BusSpec("bus", "can", {}, sources))
    for frames in batches:
        batch = pipeline.feed(*pack_frames(*[list(column) for column in zip(*frames, strict=True)]))
        assert (np.isfinite(batch.value) == (batch.quality == 0)).all()
    counters = pipeline.counters
    assert pipeline.received.sum() == sum(map(len, batches)) == counters.frames
    assert pipeline.rejected.sum() == counters.short_frames + counters.crc_or_counter
