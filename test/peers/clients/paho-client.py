"""Paho for Python as a device, told by lines on stdin and answering by lines on stdout. Arguments: host port ca cert key
client-id version clean keep-alive will-topic."""
import ssl
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

host, port, ca, cert, key, client_id, version, clean, keepalive, will = sys.argv[1:11]
five = version == "5"


def say(*words):
    print(*words, flush=True)


def on_connect(client, userdata, flags, code, properties=None):
    say("connected", flags["session present"])


def on_message(client, userdata, message):
    start = message.payload[:20].decode()
    say("message", message.topic, message.qos, int(message.retain), len(message.payload), start)


client = mqtt.Client(client_id, protocol=mqtt.MQTTv5 if five else mqtt.MQTTv311, **({} if five else {"clean_session": clean == "1"}))
client.tls_set(ca, cert, key, tls_version=ssl.PROTOCOL_TLS_CLIENT)
client.on_connect = on_connect
client.on_message = on_message
client.on_subscribe = lambda *_: say("subscribed")
client.on_publish = lambda *_: say("published")
client.will_set(will, "gone", qos=1)
if five:
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 0 if clean == "1" else 300
    client.connect(host, int(port), int(keepalive), clean_start=clean == "1", properties=properties)
else:
    client.connect(host, int(port), int(keepalive))
client.loop_start()
for line in sys.stdin:
    verb, *words = line.split()
    if verb == "sub":
        client.subscribe(words[0], int(words[1]))
    elif verb == "pub":
        topic, qos, retain, payload = words
        payload = "x" * int(payload[1:]) if payload.startswith("#") else payload
        client.publish(topic, payload, int(qos), retain == "1")
client.disconnect()
client.loop_stop()
