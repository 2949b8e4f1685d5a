/** Limits and suspicions across the process line: what the registry says is held to elsewhere, what was seen elsewhere is kept. */
import { expect, test } from 'vitest';
import { Apart } from '../harness/apart.ts';
import { eventually } from '../harness/eventually.ts';
import { packet, RawMqtt } from '../harness/raw-mqtt.ts';

test('limits of a device reach a gateway in another process, and its suspicion of a clone reaches the registry', async () => {
  await using apart = await Apart.start();
  const { api } = apart;
  const device = await api.enroll('plant', 'pump');
  await (await apart.connect(device)).client.endAsync();
  const limited = await api.call('PATCH', '/v1/devices/pump', { limits: { messages: ['3/d'] } });
  expect(limited.status).toBe(200);
  const port = Number(new URL(apart.gateway.mqtts).port);
  const from = (localAddress: string) => RawMqtt.connected(device, port, 5, {}, { localAddress });
  const refused = async (): Promise<number> => {
    const text = await (await fetch(`${apart.gateway.ops}/metrics`)).text();
    return Number(/messages_refused_total\{reason="message-rate"\} (\d+)/.exec(text)?.[1]);
  };
  const raw = await from('127.0.1.1');
  raw.send(Buffer.concat(Array(10).fill(packet(0x30, 'devices/pump/telemetry', [0], [49]))));
  await eventually(async () => expect(await refused()).toBe(7));
  // By the settings as they come: twenty returns.
  for (let turn = 0; turn < 24; turn++) await from(turn % 2 ? '127.0.1.1' : '127.0.2.1');
  await eventually(async () => {
    const { body } = await api.call('GET', '/v1/devices/pump');
    expect(body).toMatchObject({ state: 'active', suspicion: { reason: 'takeovers', gateway: 'north' } });
  });
}, 90_000);
