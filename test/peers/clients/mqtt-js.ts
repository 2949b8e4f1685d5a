/**
 * MQTT.js as a device, told by lines on stdin and answering by lines on stdout. Arguments: host port ca cert key client-id
 * version clean keep-alive will-topic.
 */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import mqtt from 'mqtt';

const [host, port, ca, cert, key, clientId, version, clean, keepalive, will = ''] = process.argv.slice(2);
const say = (...words: unknown[]) => console.log(words.join(' '));
const file = (name = '') => readFileSync(name);

const client = mqtt.connect({
  host,
  port: Number(port),
  protocol: 'mqtts',
  ca: file(ca),
  cert: file(cert),
  key: file(key),
  clientId,
  protocolVersion: version === '5' ? 5 : 4,
  clean: clean === '1',
  keepalive: Number(keepalive),
  reconnectPeriod: 0,
  will: { topic: will, payload: Buffer.from('gone'), qos: 1, retain: false },
  properties: version === '5' ? { sessionExpiryInterval: clean === '1' ? 0 : 300 } : undefined,
});
client.on('connect', ({ sessionPresent }) => say('connected', sessionPresent ? 1 : 0));
client.on('message', (topic, payload, { qos, retain }) =>
  say('message', topic, qos, retain ? 1 : 0, payload.length, payload.subarray(0, 20)),
);
client.on('disconnect', ({ reasonCode, properties }) =>
  console.error('disconnect', reasonCode, properties?.reasonString),
);
client.on('error', ({ message }) => console.error(message));
client.on('close', () => console.error('closed'));
for await (const line of createInterface({ input: process.stdin })) {
  const [verb, topic = '', qos, retain, payload = ''] = line.split(' ');
  const level = Number(qos) as 0 | 1 | 2;
  if (verb === 'sub') await client.subscribeAsync(topic, { qos: level }).then(() => say('subscribed'));
  if (verb === 'pub') {
    const bytes = payload.startsWith('#') ? 'x'.repeat(Number(payload.slice(1))) : payload;
    await client.publishAsync(topic, bytes, { qos: level, retain: retain === '1' });
    say('published');
  }
}
await client.endAsync();
