"""Serves a generator as an instrument: a web page for this machine alone.

The page in `web/` asks for clips by seed, and plays them. Nothing is fetched
from elsewhere, and nobody else is served: only this machine can connect, maybe
for a proxy that the user names, and pages of other sites are refused.
"""

import errno
import io
import pathlib
import signal
import socket
import threading
import urllib.parse
import zipfile
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

import flask
import numpy as np
import tensorflow as tf
import waitress
import werkzeug.exceptions

from audio import write
from modes import kit, recipes
from modes import request as request_lib
from networks import audio_model as audio_model_lib
from networks import dcgan
from system import settings
from training import config as config_lib
from training import train_dir

WEB = pathlib.Path(__file__).resolve().parents[1] / "web"
HOST = "127.0.0.1"
MAX_HEADER_BYTES = 16384
# Connections that send nothing, or half a request, keep no other one waiting.
MAX_CONNECTIONS = 800
IDLE_SECS = 10  # after which they are closed
THREADS = 4  # the generator serves one of them at a time
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; "
    "style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # Another generator may be behind the same address tomorrow.
    "Cache-Control": "no-store",
}
Recipes = TypeVar("Recipes")  # one recipe, or those of a kit
SENTENCES = {
    404: "There is nothing at this address.",
    405: "Only GET works here.",
    413: "A request has no body here.",
}


class Instrument:
    """Makes clips, one at a time, whoever asks; warm from the start.

    Args:
      audio_model: With the weights to play.
      sample_rate: Of its audio, in Hz.
      words: That its labels stand for; empty: it takes none.

    Attributes:
      shape: Of a clip, `[slice_len, channels]`.
      sample_rate: As given.
      words: As given.
    """

    def __init__(
        self,
        audio_model: audio_model_lib.AudioModel,
        sample_rate: int,
        words: Sequence[str] = (),
    ) -> None:
        self.sample_rate = sample_rate
        self.words = tuple(words)
        self._latent_dim = audio_model.latent_dim
        self._lock = threading.Lock()
        generate: Callable[..., tf.Tensor] = audio_model.generate
        inputs = [tf.TensorSpec([1, audio_model.latent_dim], tf.float32)]
        if words:
            networks = {
                name: dcgan.mix_labels(network)
                for name, network in audio_model.generating_networks.items()
            }

            def generate(z: tf.Tensor, shares: tf.Tensor) -> tf.Tensor:
                examples = audio_model.generate_by(networks, z, shares)
                return audio_model.to_audio(examples)

            inputs.append(tf.TensorSpec([1, len(words)], tf.float32))
        self._generate = tf.function(generate, input_signature=inputs)
        first = recipes.Recipe(0, word=[*words, ""][0])
        self.shape = self.audio(first).shape

    def audio(self, recipe: recipes.Recipe) -> np.ndarray:
        """Makes a clip, float32 in [-1, 1], `[slice_len, channels]`."""
        inputs = [recipe.z(self._latent_dim)]
        if self.words:
            inputs.append(recipe.shares(self.words))
        with self._lock:
            return self._generate(*inputs)[0].numpy()

    def wav(self, recipe: recipes.Recipe, title: str = "") -> bytes:
        """Makes a clip, as the 16-bit WAV file that `generate` writes."""
        audio = self.audio(recipe)
        return write.encode(audio, self.sample_rate, title=title)

    def kit(
        self, pads: Sequence[recipes.Recipe], model: str, step: int
    ) -> bytes:
        """Makes a zip file of the kit that `generate --kit` writes.

        Args:
          pads: Recipes of its clips, in order.
          model: Name of the model.
          step: Step of its weights.
        """
        files = {}
        rows = []
        for number, pad in enumerate(pads, start=1):
            clip = request_lib.name_clip(pad.word, f"{pad.seed:05d}")
            name = kit.name(number, model, clip)
            file = f"{name}.wav"
            files[file] = self.wav(pad, f"{model}, step {step}: {name}")
            rows.append({"file": file, "seed": pad.seed, "word": pad.word})
        files |= kit.maps(model, step, rows)
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
            for file, data in files.items():
                archive.writestr(file, data)
        return content.getvalue()


def read_origin(url: str) -> str:
    """Returns the origin of a web address, as browsers send it.

    Args:
      url: The address, such as `https://name:8000/page`; "": there is none.

    Raises:
      SettingError: It is no address of a web page.
    """
    if not url:
        return ""
    ports = {"http": 80, "https": 443}  # which browsers leave out
    try:
        parts = urllib.parse.urlsplit(url)
        name, port = parts.hostname or "", parts.port
        if not name or parts.scheme not in ports or "@" in parts.netloc:
            raise ValueError
    except ValueError:
        raise settings.SettingError(
            "proxy_url", url, "an address such as https://name:8000/"
        ) from None
    host = f"[{name}]" if ":" in name else name
    if port not in (None, ports[parts.scheme]):
        host += f":{port}"
    return f"{parts.scheme}://{host}"


def make_app(
    instrument: Instrument,
    about: dict[str, Any],
    port: int,
    proxy: str = "",
) -> flask.Flask:
    """Makes the web application: the page and what it asks for.

    That is `/about`, `/clip?seed=0` and `/kit?seed=0&seed=1`.

    Args:
      instrument: Makes the clips.
      about: What the page tells of the generator.
      port: Where it will be served; requests for others are refused.
      proxy: Origin of a proxy or tunnel to that port, such as
        `https://name:8000`, which is served as well; "": there is none.
    """
    app = flask.Flask(__name__, static_folder=str(WEB), static_url_path="")
    names = [f"{name}:{port}" for name in (HOST, "localhost")]
    names += [HOST, "localhost"] if port == 80 else []
    origins = [f"http://{name}" for name in names]
    if proxy:
        names.append(proxy.partition("//")[2])
        origins.append(proxy)

    @app.before_request
    def check() -> None:
        asked = flask.request.headers
        # A name that someone points here later is not ours (DNS rebinding).
        if asked.get("Host") not in names:
            flask.abort(403, f"This is {names[0]}, and no other host.")
        origin = asked.get("Origin")
        foreign = origin is not None and origin not in origins
        # Whoever follows a link may come; what a page fetches may not.
        site = asked.get("Sec-Fetch-Site", "none")
        followed = asked.get("Sec-Fetch-Mode") == "navigate"
        if foreign or (site not in ("same-origin", "none") and not followed):
            flask.abort(403, "Pages of other sites are not served.")
        if flask.request.content_length or "Transfer-Encoding" in asked:
            flask.abort(413)

    @app.after_request
    def harden(response: flask.Response) -> flask.Response:
        response.headers.update(HEADERS)
        return response

    @app.errorhandler(werkzeug.exceptions.HTTPException)
    def explain(
        error: werkzeug.exceptions.HTTPException,
    ) -> flask.Response:
        code = error.code or 500
        own = error.description != type(error).description
        text = SENTENCES.get(code, f"{error.name}.")
        if own and error.description:
            text = error.description
        return flask.Response(f"{text}\n", code, mimetype="text/plain")

    @app.get("/")
    def page() -> flask.Response:
        return app.send_static_file("index.html")

    @app.get("/about")
    def tell() -> flask.Response:
        return flask.jsonify(about)

    def read(reader: Callable[..., Recipes]) -> Recipes:
        query = flask.request.args.to_dict(flat=False)
        try:
            return reader(query, instrument.words)
        except ValueError as error:
            flask.abort(400, str(error))

    @app.get("/clip")
    def clip() -> flask.Response:
        wav = instrument.wav(read(recipes.read_recipe))
        return flask.Response(wav, mimetype="audio/wav")

    @app.get("/kit")
    def make_kit() -> flask.Response:
        pads = read(recipes.read_kit)
        packed = instrument.kit(pads, about["model"], about["step"])
        return flask.Response(packed, mimetype="application/zip")

    return app


def play(
    audio_model: audio_model_lib.AudioModel,
    directory: train_dir.TrainDir,
    config: config_lib.RunConfig,
    *,
    model: str,
    port: int = 0,
    proxy_url: str = "",
) -> NoReturn:
    """Serves the page by the newest checkpoint, until SIGINT or SIGTERM.

    Prints its address once it is ready to sound.

    Args:
      audio_model: Built as the config says.
      directory: A train dir; it may be training.
      config: Of its run.
      model: Name of the model, for the files of a kit.
      port: Of this machine, where to serve; 0: any free one.
      proxy_url: Address of a proxy or tunnel to that port; "": none.

    Raises:
      FileNotFoundError: There is no checkpoint.
      SystemExit: A signal came; its code is 128 + the signal's number.
      SettingError: The port cannot be had, or the proxy's address is none.
    """
    proxy = read_origin(proxy_url)
    with _listen(port) as listener:
        port = listener.getsockname()[1]
        step = train_dir.restore(audio_model, directory)
        rate, words = config.data.sample_rate, config.data.words
        instrument = Instrument(audio_model, rate, words)
        slice_len, channels = instrument.shape
        about = {
            "name": directory.path.resolve().name,
            "model": model,
            "step": step,
            "sample_rate": rate,
            "slice_len": slice_len,
            "channels": channels,
            "words": list(words),
        }
        server = waitress.create_server(
            make_app(instrument, about, port, proxy),
            sockets=[listener],
            threads=THREADS,
            ident=None,
            max_request_header_size=MAX_HEADER_BYTES,
            max_request_body_size=MAX_HEADER_BYTES,
            connection_limit=MAX_CONNECTIONS,
            channel_timeout=IDLE_SECS,
            cleanup_interval=1,
            asyncore_use_poll=True,  # select cannot watch so many
        )
        address = f"http://{HOST}:{port}/"
        if proxy_url:
            address += f" or {proxy_url}"
        print(f"step {step}: {address} (Ctrl-C stops)", flush=True)
        _serve(server)


def _listen(port: int) -> socket.socket:
    """Takes a port of this machine, for this machine alone."""
    settings.check_value("port", port, low=0, high=65535)
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        reason = "another program has it" if taken else error.strerror
        raise settings.SettingError(
            "port", port, f"another one, or 0 for any free one ({reason})"
        ) from None


def _serve(server: waitress.server.BaseWSGIServer) -> NoReturn:
    """Serves until a signal comes, and ends with its code."""
    caught: list[int] = []

    def stop(number: int, _: Any) -> None:
        caught.append(number)
        raise KeyboardInterrupt  # which ends waitress's loop

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        server.run()
    finally:
        server.close()
    raise SystemExit(128 + caught[0])
