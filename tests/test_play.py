"""Tests what the server of `play` serves and what it refuses."""

from __future__ import annotations

import concurrent.futures
import io
import json
import pathlib
import re
import time
import zipfile
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import small_gan
import soundfile
import tensorflow as tf
from http_client import PORT, RATE, URL, Client, assert_refused, clip_of, get

import gan as gan_lib
import wavegan
from audio import write
from modes import kit, latents, play, recipes

ABOUT = {"name": "x", "model": "wavegan", "step": 7}


@pytest.fixture(scope="module")
def model() -> gan_lib.GAN:
    """A stereo generator."""
    config = wavegan.WaveGANConfig(
        slice_len=128, channels=2, latent_dim=3, dim=2, kernel_len=9
    )
    return small_gan.build(config=config)


@pytest.fixture(scope="module")
def client(model: gan_lib.GAN) -> Client:
    """What asks as a browser does."""
    app = play.make_app(play.Instrument(model, RATE), ABOUT, PORT)
    return app.test_client()


# Clips ------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 7, 2**31 - 1])
def test_a_seeds_clip_is_the_first_that_generate_makes_of_it(
    client: Client, model: gan_lib.GAN, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    z = rng.uniform(-1, 1, (5, 3)).astype(np.float32)
    expected = model.generator(z, training=False).numpy()[0]
    audio = clip_of(client, f"seed={seed}")
    assert audio.shape == (128, 2)
    np.testing.assert_allclose(audio, expected, atol=0.51 / 32768 + 1e-6)


def test_a_clips_bytes_are_a_written_files(
    model: gan_lib.GAN, tmp_path: pathlib.Path
) -> None:
    instrument = play.Instrument(model, RATE)
    recipe = recipes.Recipe(5)
    write.write(tmp_path / "a.wav", instrument.audio(recipe), RATE)
    assert instrument.wav(recipe) == (tmp_path / "a.wav").read_bytes()


@pytest.mark.parametrize("path", sorted(latents.INTERPOLATIONS))
def test_a_morph_goes_from_one_clip_to_the_other(
    client: Client, path: str
) -> None:
    ends = [clip_of(client, f"seed={seed}") for seed in (3, 4)]
    way = [
        clip_of(client, f"seed=3&to=4&mix={mix}&path={path}")
        for mix in ("0", "0.25", "1.0")
    ]
    np.testing.assert_allclose(way[0], ends[0], atol=1.01 / 32768)
    np.testing.assert_allclose(way[2], ends[1], atol=1.01 / 32768)
    assert np.abs(way[1] - ends[0]).max() > 10 / 32768
    assert np.abs(way[1] - ends[1]).max() > 10 / 32768


@pytest.mark.parametrize("mix", [0.0, 0.3, 0.5, 1.0])
def test_lines_are_straight_and_arcs_turn_evenly(mix: float) -> None:
    a, b = (latents.sample_z(1, 100, seed)[0].astype(float) for seed in (1, 2))
    z = recipes.Recipe(1, 2, mix, "straight").z(100)
    assert z.shape == (1, 100) and z.dtype == np.float32
    np.testing.assert_allclose(z[0], a + mix * (b - a), atol=1e-6)
    z = recipes.Recipe(1, 2, mix, "slerp").z(100)[0].astype(float)

    def angle(u: np.ndarray, v: np.ndarray) -> float:
        u, v = u / np.linalg.norm(u), v / np.linalg.norm(v)
        return 2 * np.arctan2(np.linalg.norm(u - v), np.linalg.norm(u + v))

    # In the plane of both, and longer than a chord.
    _, residual, *_ = np.linalg.lstsq(np.stack([a, b], axis=1), z, rcond=None)
    assert residual[0] < 1e-9
    lengths = sorted([np.linalg.norm(a), np.linalg.norm(b)])
    assert 0.95 * lengths[0] < np.linalg.norm(z) < 1.05 * lengths[1]
    # Ends of one length: the angle grows with the mix.
    turned = latents.slerp(a / np.linalg.norm(a), b / np.linalg.norm(b), mix)
    assert angle(a, turned) == pytest.approx(mix * angle(a, b), abs=1e-7)


def test_arcs_that_have_no_plane_are_lines() -> None:
    a = latents.sample_z(1, 10, 0)[0]
    for b in (a, -a, 2 * a):
        mixed = latents.slerp(a, b, 0.5)
        np.testing.assert_allclose(mixed, (a + b) / 2, atol=1e-6)


def test_a_kit_holds_the_clips_of_its_seeds(client: Client) -> None:
    answer = get(client, "/kit?seed=5&seed=0&seed=5")
    assert answer.status_code == 200 and answer.mimetype == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.data)) as content:
        names = content.namelist()
        assert names == [
            "01_wavegan_00005.wav",
            "02_wavegan_00000.wav",
            "03_wavegan_00005.wav",
            kit.SFZ,
            kit.JSON,
        ]
        for name, seed in zip(names, (5, 0, 5), strict=False):
            audio, rate = soundfile.read(io.BytesIO(content.read(name)))
            assert rate == RATE
            np.testing.assert_array_equal(
                audio, clip_of(client, f"seed={seed}")
            )
        card = json.loads(content.read(kit.JSON))
        assert card["model"] == "wavegan" and card["step"] == 7
        assert card["clips"][1] == {
            "note": 37,
            "file": names[1],
            "seed": 0,
            "word": "",
        }
        assert b"key=38 sample=03_wavegan_00005.wav\n" in content.read(kit.SFZ)


def test_the_generator_makes_one_clip_at_a_time() -> None:
    busy, most = 0, 0

    def make(z: tf.Tensor) -> tf.Tensor:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        time.sleep(0.02)
        busy -= 1
        return tf.zeros([1, 4, 1])

    def generate(z: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(tf.py_function(make, [z], tf.float32), [1, 4, 1])

    model: Any = SimpleNamespace(latent_dim=2, generate=generate)
    instrument = play.Instrument(model, RATE)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        wavs = list(pool.map(instrument.wav, map(recipes.Recipe, range(8))))
    assert len(wavs) == 8 and most == 1


# Refusals ---------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        "",
        "seed=",
        "seed=x",
        "seed=-1",
        "seed=1.5",
        "seed=1e3",
        "seed=2147483648",
        "seed=99999999999999999999",
        "seed=%D9%A3",  # an Arabic three
        "seed=1&seed=2",
        "seed=1&n=10000",
        "seed=1&word=zero",  # it knows none
        "seed=1&to=2",
        "seed=1&to=2&mix=1.5&path=straight",
        "seed=1&to=2&mix=nan&path=straight",
        "seed=1&to=2&mix=-0&path=straight",
        "seed=1&to=x&mix=0.5&path=straight",
        "seed=1&to=2&mix=0.5&path=../../etc/passwd",
        "seed=1&to=2&mix=0.5&path=%3Cscript%3E",
    ],
)
def test_odd_queries_are_refused(client: Client, query: str) -> None:
    assert_refused(get(client, f"/clip?{query}"), 400)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "Expected 1 to 92 seeds"),
        ("seed=", "whole number"),
        ("seed=1&seed=x", "whole number"),
        ("seed=1&seed=-1", "whole number"),
        ("seed=1&seed=2147483648", "whole number"),
        ("seed=1&to=2&mix=0.5&path=slerp", "Expected 1 to 92 seeds"),
        ("seed=1&word=zero", "Expected 1 to 92 seeds"),  # it knows none
        ("seed=1&name=../x", "Expected 1 to 92 seeds"),
        ("&".join(["seed=1"] * 93), "Expected 1 to 92 seeds"),
    ],
)
def test_odd_kits_are_refused(client: Client, query: str, words: str) -> None:
    answer = get(client, f"/kit?{query}")
    assert_refused(answer, 400)
    assert words in answer.text


@pytest.mark.parametrize("path", ["/", "/about", "/clip?seed=1", "/play.js"])
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        f"evil.example:{PORT}",
        f"localhost.evil.example:{PORT}",
        f"127.0.0.1.evil.example:{PORT}",
        f"[::1]:{PORT}",
        "127.0.0.1",
        "127.0.0.1:80",
        "",
    ],
)
def test_other_hosts_are_refused(client: Client, path: str, host: str) -> None:
    assert_refused(get(client, path, Host=host), 403)


def test_both_names_of_this_machine_are_served(client: Client) -> None:
    for name in ("127.0.0.1", "localhost"):
        host = f"{name}:{PORT}"
        answer = get(client, "/about", Host=host, Origin=f"http://{host}")
        assert answer.status_code == 200
        assert answer.json == ABOUT


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": f"https://127.0.0.1:{PORT}"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "no-cors"},
    ],
)
def test_pages_of_other_sites_are_refused(
    client: Client, headers: dict[str, str]
) -> None:
    assert_refused(get(client, "/clip?seed=1", **headers), 403)
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    posted = client.post("/clip?seed=1", base_url=URL, headers=named)
    assert_refused(posted, 403)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://8000-xyz.example.org/?a=b", "https://8000-xyz.example.org"),
        ("https://Hub.example.org:443/user/proxy/", "https://hub.example.org"),
        ("http://localhost:9000", "http://localhost:9000"),
        ("http://[::1]:80/", "http://[::1]"),
    ],
)
def test_a_proxy_is_served_beside_this_machine(
    model: gan_lib.GAN, url: str, origin: str
) -> None:
    proxy = play.read_origin(url)
    assert proxy == origin
    instrument = play.Instrument(model, RATE)
    client = play.make_app(instrument, {}, PORT, proxy).test_client()
    host, here = origin.partition("//")[2], f"127.0.0.1:{PORT}"
    # Some proxies hand on the host that they were asked for, others ours.
    for name in (host, here):
        for origin_sent in (origin, f"http://{here}"):
            answer = get(client, "/about", Host=name, Origin=origin_sent)
            assert answer.status_code == 200
    for name in ("evil.example", f"{host}.evil.example", f"{host}:81"):
        assert_refused(get(client, "/about", Host=name), 403)
        for scheme in ("http", "https"):
            evil = f"{scheme}://{name}"
            assert_refused(get(client, "/about", Host=host, Origin=evil), 403)
    site = {"Sec_Fetch_Site": "cross-site"}
    assert_refused(get(client, "/clip?seed=1", Host=host, **site), 403)


def test_links_and_bookmarks_are_followed(client: Client) -> None:
    for site in ("cross-site", "none"):
        answer = get(
            client, "/", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate"
        )
        assert answer.status_code == 200


def test_only_get_without_a_body_works(client: Client) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        answer = client.open("/clip?seed=1", base_url=URL, method=method)
        assert_refused(answer, 405)
    answer = client.post("/clip", base_url=URL, data=b"seed=1")
    assert_refused(answer, 413)


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/../modes/play.py",
        "/%2e%2e/modes/play.py",
        "//etc/passwd",
        "/.",
    ],
)
def test_nothing_but_the_page_is_there(client: Client, path: str) -> None:
    assert_refused(get(client, path), 404)


# The page ---------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/play.css",
        "/play.js",
        "/about",
        "/clip?seed=1",
        "/kit?seed=1",
        "/x",
    ],
)
def test_every_answer_is_strict(client: Client, path: str) -> None:
    headers = get(client, path).headers
    policy = dict(
        part.strip().split(" ", 1)
        for part in headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert set(policy.values()) <= {"'none'", "'self'"}
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in headers


def test_the_page_has_all_it_names_and_names_nothing_elsewhere(
    client: Client,
) -> None:
    files = sorted(play.WEB.iterdir())
    page = (play.WEB / "index.html").read_text()
    named = set(re.findall(r'(?:src|href)="([^"]+)"', page))
    for file in files:
        text = file.read_text()
        named |= set(re.findall(r'from "\./([^"]+)"', text))
        urls = set(re.findall(r"(?:https?:)?//[\w.]+\.\w+[^\s\"']*", text))
        assert urls <= {"http://www.w3.org/2000/svg"}, file
        assert text.count("\n") <= 350, file
    assert named | {"index.html"} == {file.name for file in files}
    for name in named:
        assert get(client, f"/{name}").status_code == 200
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! type)", page)
    assert get(client, "/").data == page.encode()
    assert "javascript" in get(client, "/play.js").mimetype


# The port ---------------------------------------------------------------


def test_ports_that_cannot_be_had_are_named_before_anything_is_loaded() -> None:
    nothing: Any = None
    with play._listen(0) as taken:
        host, port = taken.getsockname()
        assert host == "127.0.0.1"
        with pytest.raises(ValueError, match=f"port is {port}: .*another"):
            play.play(nothing, nothing, nothing, model="", port=port)
    for port in (-1, 65536):
        with pytest.raises(ValueError, match=f"port is {port}: expected 0"):
            play.play(nothing, nothing, nothing, model="", port=port)


@pytest.mark.parametrize(
    "url",
    ["example.org", "ftp://example.org/", "https://", "http://a:b/"]
    + ["http://me@example.org/", "http://a:99999/", "http://[::1/", "9000"],
)
def test_proxies_without_an_address_are_named_at_once(url: str) -> None:
    nothing: Any = None
    with pytest.raises(ValueError, match="proxy_url is .*: expected an addr"):
        play.play(nothing, nothing, nothing, model="", proxy_url=url)
