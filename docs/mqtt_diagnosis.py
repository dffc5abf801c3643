"""Diagnose what sensors send by MQTT.

    pip install -e '.[experiments,mqtt]'
    python docs/mqtt_diagnosis.py MODEL --broker localhost

MODEL is the folder of a kept network or of its run, or pretrained:NAME. Samples come to TOPIC/SENSOR/float32 or
TOPIC/SENSOR/json, in messages of any length; every message that completes a window is answered on TOPIC/SENSOR/diagnosis, and one
that cannot be used on TOPIC/SENSOR/error.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

import drsn_jax as d
from drsn_jax.cli import console
from drsn_jax.core.errors import optional
from drsn_jax.pretrained.kept import folder_named


@dataclass(frozen=True)
class Options:
    """Which model answers whom."""

    model: tyro.conf.Positional[Path]
    """The folder of a trained network or of its run, or pretrained:NAME."""
    broker: str = "localhost"
    """The host of the broker."""
    port: int = 1883
    """Its port."""
    topic: str = "machines"
    """What all topics begin with."""
    sampling_rate: float | None = None
    """Of the samples, in Hz; by default that of the training data."""
    username: str | None = None
    """For brokers that ask for it; the password is read from the environment variable MQTT_PASSWORD."""
    tls: bool = False
    """Encrypt the connection, with the certificates that the system trusts."""


def client_of(options: Options) -> Any:
    """A client of MQTT that answers once its loop runs, and connects again whenever the broker was away."""
    mqtt = optional("paho.mqtt.client", "this script")
    listener = d.diagnosis.Listener(folder_named(options.model), options.sampling_rate)
    client, status = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2), f"{options.topic}/status"

    def connected(client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        console.say(f"{options.broker}, port {options.port}: {reason}")
        listener.forget()  # samples may have been lost meanwhile
        client.subscribe([(f"{options.topic}/+/float32", 1), (f"{options.topic}/+/json", 1)])
        client.publish(status, "online", qos=1, retain=True)

    def answer(client: Any, _data: Any, message: Any) -> None:
        sensor, form = message.topic.split("/")[-2:]
        if (reply := listener.reply(sensor, message.payload, form)) is not None:
            kind, record = reply
            client.publish(f"{options.topic}/{sensor}/{kind}", json.dumps(record), qos=1)

    client.on_connect, client.on_message = connected, answer
    client.on_disconnect = lambda _client, _data, _flags, reason, _properties: console.say(f"the connection ended: {reason}")
    client.on_connect_fail = lambda _client, _data: console.say(f"no connection to {options.broker}, port {options.port}: again")
    client.will_set(status, "offline", qos=1, retain=True)  # the broker says it whenever this process ends
    client.reconnect_delay_set(1, 30)
    if options.username is not None:
        client.username_pw_set(options.username, os.environ.get("MQTT_PASSWORD"))
    if options.tls:
        client.tls_set()
    client.connect_async(options.broker, options.port, keepalive=30)
    return client


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    client_of(options).loop_forever(retry_first_connection=True)


if __name__ == "__main__":
    console.run(main, interrupted="interrupted")
