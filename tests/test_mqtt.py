"""The script of docs/streaming.md against a real broker on this machine: answers, errors, a broker that goes, and Ctrl-C."""

import contextlib
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tiny

from drsn_jax.diagnosis import Bundle, fingerprint, save

mqtt = pytest.importorskip("paho.mqtt.client", reason="needs paho-mqtt, the extra mqtt")
BROKER = shutil.which("mosquitto", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))
pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(BROKER is None, reason="needs the broker mosquitto, from the distribution"),
]
SCRIPT = Path(__file__).parents[1] / "docs" / "mqtt_diagnosis.py"
SECONDS = 60  # the longest wait, on a busy machine
WINDOW = tiny.tones(1)[0][0]
CLASSES = ("low", "middle", "high")


class Broker:
    """A broker on a free port of the loopback, which can go and come back."""

    def __init__(self, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.configuration = folder / "mosquitto.conf"
        self.configuration.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")
        self.start()

    def start(self):
        self.process = subprocess.Popen([str(BROKER), "-c", str(self.configuration)], stderr=subprocess.DEVNULL)
        until(self.answers)

    def answers(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        self.process.terminate()
        self.process.wait(SECONDS)


class Sensor:
    """A client that publishes samples and keeps what it hears."""

    def __init__(self, port):
        self.heard = queue.Queue()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self.client.on_message = lambda client, data, message: self.heard.put((message.topic, message.payload))
        self.client.on_connect = lambda client, *_: client.subscribe(
            [("plant/+/diagnosis", 1), ("plant/+/error", 1), ("plant/status", 1)]
        )
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def send(self, topic, payload):
        self.client.publish(topic, payload, qos=1)

    def next(self, topic):
        """The next that is heard on a topic; what comes before it on others is passed over."""
        while (found := self.heard.get(timeout=SECONDS))[0] != topic:
            pass
        return found[1]

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


def until(true):
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


@contextlib.contextmanager
def killed_at_last(process):
    """Kill a process that a failed check leaves."""
    try:
        yield
    finally:
        process.kill()


@pytest.fixture
def broker(tmp_path):
    broker = Broker(tmp_path)
    yield broker
    broker.stop()


@pytest.fixture
def sensor(broker):
    sensor = Sensor(broker.port)
    yield sensor
    sensor.close()


@pytest.mark.usefixtures("ctrl_c_heard")
def test_samples_in_and_diagnoses_out(broker, sensor, tmp_path):
    """One process through its life: it answers, tells errors, outlives the broker, and ends with Ctrl-C."""
    folder = tmp_path / "model"
    bundle = Bundle(tiny.network, tiny.variables(), CLASSES, tiny.LENGTH, 100.0, tiny.LENGTH, temperature=1e-3)
    save(folder, bundle)
    command = [sys.executable, SCRIPT, folder, "--broker", "127.0.0.1", "--port", broker.port, "--topic", "plant"]
    arguments = [str(word) for word in command]
    with (
        subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
        killed_at_last(process),
    ):
        assert sensor.next("plant/status") == b"online"
        expected = bundle.predict_proba(WINDOW[None])[0]

        def check(sent):
            for topic, payload in sent:
                sensor.send(topic, payload)
            record = json.loads(sensor.next("plant/pump/diagnosis"))
            assert record["class"] == CLASSES[expected.argmax()]
            np.testing.assert_allclose(list(record["probabilities"].values()), expected, rtol=1e-4, atol=1e-6)
            assert record["model"] == fingerprint(folder)

        samples = WINDOW.astype("<f4").tobytes()
        check([("plant/pump/float32", samples)])
        check([("plant/pump/float32", samples[:100]), ("plant/pump/float32", samples[100:])])
        check([("plant/pump/json", json.dumps(WINDOW[:, 0].tolist()))])
        for wrong in (samples[:-1], np.full(64, np.nan, "<f4").tobytes()):
            sensor.send("plant/pump/float32", wrong)
            assert "error" in json.loads(sensor.next("plant/pump/error"))
        sensor.send("plant/pump/float32", samples[:100])  # is forgotten when the broker goes
        broker.stop()
        broker.start()
        while sensor.next("plant/status") != b"online":  # the broker may say "offline" while it ends
            pass
        check([("plant/pump/float32", samples)])
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=SECONDS)
        assert (process.returncode, err.strip()) == (130, "interrupted"), out + err
        assert [line.split(":")[0] for line in out.splitlines()][:2] == [f"127.0.0.1, port {broker.port}", "the connection ended"]
        assert sensor.next("plant/status") == b"offline"


def test_the_missing_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    script = tiny.load_script(SCRIPT)
    with pytest.raises(ValueError, match=r"this script needs paho-mqtt: pip install 'drsn-jax\[mqtt\]'"):
        script.client_of(script.Options(tmp_path))
