/** Delivery as foreign clients see it: mosquitto_sub with a shared subscription and a kept session, MQTT.js with a Receive Maximum. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { IPublishPacket } from 'mqtt';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DeliveryHouse } from '../harness/delivery-house.ts';
import { eventually } from '../harness/eventually.ts';
import { connectDevice } from '../harness/mqtt-device.ts';
import { run, withPrograms } from '../harness/peer-program.ts';

let house: DeliveryHouse;
let dir: string;
beforeAll(async () => {
  house = await DeliveryHouse.start('');
  dir = await mkdtemp(join(tmpdir(), 'delivery-'));
  const { key, certificate, ca } = house.device;
  await Promise.all([
    writeFile(join(dir, 'd.key'), key),
    writeFile(join(dir, 'd.crt'), certificate),
    writeFile(join(dir, 'ca.crt'), ca),
  ]);
});
afterAll(async () => {
  await house[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

test('MQTT.js: its Receive Maximum holds, and everything arrives once and in order', async () => {
  const { client } = await connectDevice(house.device, house.house.port('mqtts'), {
    protocolVersion: 5,
    clientId: 'd:js',
    properties: { receiveMaximum: 2 },
  });
  let open = 0;
  let most = 0;
  client.on('packetreceive', (packet) => {
    if (packet.cmd === 'publish') most = Math.max(most, ++open);
  });
  client.on('packetsend', (packet) => {
    if (packet.cmd === 'puback' || packet.cmd === 'pubcomp') open -= 1;
  });
  const heard: [string, number][] = [];
  client.on('message', (_topic, payload, { qos }: IPublishPacket) => heard.push([payload.toString(), qos]));
  await client.subscribeAsync('x/js', { qos: 2 });
  const all = Array.from({ length: 40 }, (_, n): [string, 1 | 2] => [`${n}`, n % 2 === 0 ? 1 : 2]);
  for (const [text, qos] of all) await house.publish('x/js', text, { qos });
  await eventually(() => expect(heard).toHaveLength(40));
  // Acknowledged in another order than they came, so only within each QoS (section 4.6).
  for (const qos of [1, 2])
    expect(heard.filter(([, got]) => got === qos)).toEqual(all.filter(([, sent]) => sent === qos));
  expect(most).toBeLessThanOrEqual(2);
  await client.endAsync();
});

withPrograms(['mosquitto_sub'], 'mosquitto_sub', () => {
  const sub = (id: string, more: string) =>
    run(
      `mosquitto_sub -h 127.0.0.1 -p ${house.house.port('mqtts')} --cafile ca.crt --cert d.crt --key d.key -i d:${id} ${more}`,
      dir,
    );
  const present = (count: number) =>
    eventually(async () => {
      const { body } = await house.house.api.call('GET', '/v1/devices/d');
      expect(body.sessions).toHaveLength(count);
    });

  test.each(['mqttv5', 'mqttv311'])(
    'two of a group (%s) share what comes, and lose nothing',
    async (version) => {
      const topic = `x/${version}`;
      const options = `-V ${version} -q 1 -C 5 -W 15 -t '$share/pair/${topic}'`;
      const both = ['a', 'b'].map((name) => sub(`${version}-${name}`, options));
      await present(3);
      const all = Array.from({ length: 10 }, (_, n) => `${n}`);
      // Each takes five and goes; what was on its way to the first then is the other's.
      for (const text of all) await house.publish(topic, text);
      const said = await Promise.all(both);
      const lines = said.flatMap(({ stdout }) => stdout.trim().split('\n'));
      expect(lines.sort()).toEqual(all);
    },
  );

  test('a session that is kept has what came while it was away, of QoS 2 too', async () => {
    const options = '-V mqttv5 -c -x 600 -q 2 -t x/kept';
    expect((await sub('kept', `${options} -E`)).code).toBe(0);
    for (const [text, qos] of [
      ['1', 1],
      ['2', 2],
      ['3', 1],
    ] as const)
      await house.publish('x/kept', text, { qos });
    const { stdout } = await sub('kept', `${options} -C 3 -W 15`);
    expect(stdout.trim().split('\n').sort()).toEqual(['1', '2', '3']);
  });
});
