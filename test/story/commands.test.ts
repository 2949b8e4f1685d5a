/** Commands: kept for devices that are away, delivered at least once within their time to live, answered, and told of. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { commandApi, startCommandHouse } from '../harness/command-api.ts';
import { commanded, takes } from '../harness/commanded.ts';
import { eventually } from '../harness/eventually.ts';
import { RawMqtt } from '../harness/raw-mqtt.ts';
import type { TimedHouse } from '../harness/timed-house.ts';

let house: TimedHouse;
beforeAll(async () => {
  house = await startCommandHouse();
});
afterAll(() => house[Symbol.asyncDispose]());

let names = 0;
const fresh = (): Promise<DeviceIdentity> => house.api.enroll('plant', `device-${++names}`);
const port = () => house.ports.mqtts;

const { send, sent, show, becomes } = commandApi(() => house.api);

/** The gateway has seen the end of every connection. */
const gone = (device: string) =>
  eventually(async () => {
    const { body } = await house.api.call('GET', `/v1/devices/${device}`);
    expect(body.sessions).toEqual([]);
  });

describe.each([4, 5] as const)('protocol %i', (version) => {
  test('a device that is there gets it at once, acknowledges it, and answers', async () => {
    const device = await fresh();
    using pump = await commanded(device, port(), version);
    const id = await sent(device.id, { name: 'open', payload: { valve: 7 }, ttl: '10m' });
    const packet = await pump.next();
    expect(packet).toMatchObject({ id, name: 'open', qos: 1, dup: false, retain: false });
    expect(String(packet.payload)).toBe('{"valve":7}');
    if (version === 5) {
      expect(packet.properties).toMatchObject({
        contentType: 'application/json',
        responseTopic: `devices/${device.id}/commands/${id}/reply/200`,
        correlationData: Buffer.from(id),
      });
      expect(packet.properties?.messageExpiryInterval).toBeGreaterThan(590);
      expect(packet.properties?.messageExpiryInterval).toBeLessThanOrEqual(600);
    }
    await becomes(device.id, id, { state: 'queued', attempts: 1, deliveredAt: null });
    pump.acknowledge(packet);
    await becomes(device.id, id, { state: 'delivered', attempts: 1, deliveredAt: expect.any(String) });
    pump.reply(id, 207, 'half open', 7);
    expect(await pump.raw.next('puback')).toMatchObject({ messageId: 7 });
    await becomes(device.id, id, { state: 'replied', reply: { status: 207, payload: 'half open' } });
  });

  test('a device that is away gets what waits when it comes back, in order', async () => {
    const device = await fresh();
    const ids = [];
    for (let n = 0; n < 6; n++) ids.push(await sent(device.id, { name: `n-${n}` }));
    using pump = await commanded(device, port(), version);
    const got = [];
    for (let n = 0; n < 6; n++) {
      const packet = await pump.next();
      got.push(packet.id);
      pump.acknowledge(packet);
    }
    expect(got).toEqual(ids);
  });

  test('what it has not acknowledged comes again with the next connection', async () => {
    const device = await fresh();
    const id = await sent(device.id);
    {
      using pump = await commanded(device, port(), version);
      expect((await pump.next()).id).toBe(id);
    }
    using pump = await commanded(device, port(), version);
    const again = await pump.next();
    expect(again.id).toBe(id);
    pump.acknowledge(again);
    await becomes(device.id, id, { state: 'delivered', attempts: 2 });
    pump.raw[Symbol.dispose]();
    using later = await commanded(device, port(), version);
    const other = await sent(device.id);
    expect((await later.next()).id).toBe(other);
  });

  test('a session that is kept gets them without subscribing again', async () => {
    const device = await fresh();
    const kept =
      version === 5
        ? { clean: false, properties: { sessionExpiryInterval: 600 } }
        : { clean: false as const };
    {
      using pump = await commanded(device, port(), version, kept);
      pump.raw.sendPacket({ cmd: 'disconnect' });
      await pump.raw.ended();
    }
    const id = await sent(device.id);
    using raw = await RawMqtt.connected(device, port(), version, kept);
    const pump = takes(device, raw);
    const packet = await pump.next();
    expect(packet.id).toBe(id);
    pump.acknowledge(packet);
    await becomes(device.id, id, { state: 'delivered' });
  });

  test('what a kept session has not acknowledged goes again under its packet id, marked', async () => {
    const device = await fresh();
    const kept =
      version === 5
        ? { clean: false, properties: { sessionExpiryInterval: 600 } }
        : { clean: false as const };
    const [a, b] = [await sent(device.id), await sent(device.id)];
    let messageId: number | undefined;
    {
      using pump = await commanded(device, port(), version, kept);
      pump.acknowledge(await pump.next());
      ({ messageId } = await pump.next());
      await becomes(device.id, a, { state: 'delivered' });
    }
    await gone(device.id);
    const c = await sent(device.id);
    using raw = await RawMqtt.connected(device, port(), version, kept);
    const pump = takes(device, raw);
    expect(await pump.next()).toMatchObject({ id: b, messageId, dup: true });
    const fresher = await pump.next();
    expect(fresher).toMatchObject({ id: c, dup: false });
    expect(fresher.messageId).not.toBe(messageId);
    pump.acknowledge({ messageId });
    pump.acknowledge(fresher);
    await becomes(device.id, c, { state: 'delivered' });
    raw[Symbol.dispose]();
    // A session that begins anew knows nothing of it.
    const d = await sent(device.id);
    using first = await commanded(device, port(), version, kept);
    await first.next();
    first.raw[Symbol.dispose]();
    using clean = await commanded(device, port(), version);
    expect(await clean.next()).toMatchObject({ id: d, dup: false });
  });

  test('a call that waits is answered with the reply', async () => {
    const device = await fresh();
    using pump = await commanded(device, port(), version);
    const answer = send(device.id, { name: 'measure', wait: '5s' });
    const packet = await pump.next();
    pump.acknowledge(packet);
    pump.reply(packet.id, 200, '{"level":3}');
    const { status, body } = await answer;
    expect(status).toBe(200);
    expect(body).toMatchObject({ commandId: packet.id, state: 'replied', reply: { status: 200 } });
  });

  test('a reply to a command of another device, or of nobody, is refused and told of', async () => {
    const [device, other] = [await fresh(), await fresh()];
    const id = await sent(other.id);
    const errors = { topic: `devices/${device.id}/errors`, qos: 0 as const };
    using pump = await commanded(device, port(), version, {}, [errors]);
    pump.reply(id, 200, 'mine', 9);
    const puback = await pump.raw.next('puback');
    expect(puback.messageId).toBe(9);
    if (version === 5) expect(puback.reasonCode).toBe(0x80);
    else
      expect(JSON.parse(String((await pump.next()).payload))).toMatchObject({
        code: 'not-found',
        correlation: 9,
      });
    expect(await show(other.id, id)).toMatchObject({ state: 'queued', reply: null });
  });
});

test('as many are unacknowledged as the client takes, and no more', async () => {
  const device = await fresh();
  const ids = [];
  for (let n = 0; n < 3; n++) ids.push(await sent(device.id));
  using pump = await commanded(device, port(), 5, { properties: { receiveMaximum: 1 } });
  for (const id of ids) {
    const packet = await pump.next();
    expect(packet.id).toBe(id);
    // A ping is answered after everything that was sent before.
    pump.raw.sendPacket({ cmd: 'pingreq' });
    await pump.raw.next('pingresp');
    expect(pump.raw.packets).toEqual([]);
    pump.acknowledge(packet);
  }
});

test('a device that never acknowledges holds mqtt.maxCommandsInFlight', async () => {
  const device = await fresh();
  for (let n = 0; n < 6; n++) await sent(device.id);
  using pump = await commanded(device, port(), 4);
  for (let n = 0; n < 4; n++) await pump.next();
  await sent(device.id);
  pump.raw.sendPacket({ cmd: 'pingreq' });
  await pump.raw.next('pingresp');
  expect(pump.raw.packets).toEqual([]);
});

test('one that the client takes no packet for is passed over', async () => {
  const device = await fresh();
  using pump = await commanded(device, port(), 5, { properties: { maximumPacketSize: 512 } });
  const long = await sent(device.id, { name: 'long', payload: 'x'.repeat(600) });
  const short = await sent(device.id, { name: 'short' });
  const packet = await pump.next();
  expect(packet.id).toBe(short);
  pump.acknowledge(packet);
  await becomes(device.id, short, { state: 'delivered' });
  expect(await show(device.id, long)).toMatchObject({ state: 'queued' });
});

test.each([0, 60])(
  'a subscription identifier comes with every command (session kept %i s)',
  async (seconds) => {
    const device = await fresh();
    const properties = { sessionExpiryInterval: seconds };
    using raw = await RawMqtt.connected(device, port(), 5, { clean: seconds === 0, properties });
    raw.sendPacket({
      cmd: 'subscribe',
      messageId: 1,
      subscriptions: [{ topic: `devices/${device.id}/commands/#`, qos: 1 }],
      properties: { subscriptionIdentifier: 77 },
    });
    await raw.next('suback');
    const id = await sent(device.id);
    const packet = await takes(device, raw).next();
    expect(packet).toMatchObject({ id, properties: { subscriptionIdentifier: 77 } });
  },
);

test('a session whose subscriptions are its own never meets the broker', async () => {
  const device = await fresh();
  const errors = { topic: `devices/${device.id}/errors`, qos: 0 as const };
  using pump = await commanded(device, port(), 5, {}, [errors]);
  pump.raw.sendPacket({ cmd: 'unsubscribe', messageId: 3, unsubscriptions: [errors.topic, 'devices/x/y'] });
  expect((await pump.raw.next('unsuback')).granted).toEqual([0, 0x11]);
  const id = await sent(device.id);
  pump.acknowledge(await pump.next());
  await becomes(device.id, id, { state: 'delivered' });
  pump.raw.sendPacket({
    cmd: 'unsubscribe',
    messageId: 4,
    unsubscriptions: [`devices/${device.id}/commands/#`],
  });
  await pump.raw.next('unsuback');
  const later = await sent(device.id);
  pump.raw.sendPacket({ cmd: 'pingreq' });
  await pump.raw.next('pingresp');
  expect(pump.raw.packets).toEqual([]);
  expect(await show(device.id, later)).toMatchObject({ attempts: 0 });
});

describe('who gets none', () => {
  test('a device that is not known, or was revoked', async () => {
    expect((await send('nobody', { name: 'x' })).status).toBe(404);
    const device = await fresh();
    await house.api.call('POST', `/v1/devices/${device.id}/revoke`);
    const { status, body } = await send(device.id, { name: 'x' });
    expect([status, body.code]).toEqual([403, 'device-revoked']);
  });

  test('a disabled device, until it is enabled again', async () => {
    const device = await fresh();
    const before = await sent(device.id);
    await house.api.call('POST', `/v1/devices/${device.id}/disable`);
    await sent(device.id);
    expect(
      (await house.registry.line.ask('commands', { device: device.id as never, after: 0, limit: 10 }))
        .commands,
    ).toEqual([]);
    await house.api.call('POST', `/v1/devices/${device.id}/enable`);
    using pump = await eventually(() => commanded(device, port()));
    expect((await pump.next()).id).toBe(before);
  });

  test('a deleted device: what waited is withdrawn, and whoever waits is told', async () => {
    const device = await fresh();
    const waiting = send(device.id, { name: 'x', wait: '5s' });
    const id = await eventually(async () => {
      const { body } = await house.api.call('GET', `/v1/devices/${device.id}/commands`);
      return body.items[0].commandId as string;
    });
    await house.api.call('DELETE', `/v1/devices/${device.id}`);
    expect((await waiting).body.code).toBe('conflict');
    expect(await show(device.id, id)).toMatchObject({ state: 'withdrawn' });
  });

  test('a session that may not subscribe to commands any more', async () => {
    const role = (rules: object[]) => house.api.call('PUT', '/v1/roles/whim', { rules });
    const own = 'devices/${device.id}/commands/#';
    await role([{ allow: 'subscribe', pattern: own }]);
    const device = await fresh();
    await house.api.call('PATCH', `/v1/devices/${device.id}`, { role: 'whim' });
    using pump = await commanded(device, port());
    await role([]);
    const id = await sent(device.id);
    pump.raw.sendPacket({ cmd: 'pingreq' });
    await pump.raw.next('pingresp');
    expect(pump.raw.packets).toEqual([]);
    await role([{ allow: 'subscribe', pattern: own }]);
    await sent(device.id);
    expect((await pump.next()).id).toBe(id);
  });
});

test('telemetry is acknowledged while a reply is on its way', async () => {
  const device = await fresh();
  using pump = await commanded(device, port());
  const id = await sent(device.id);
  pump.acknowledge(await pump.next());
  pump.reply(id, 200, 'a', 50);
  const telemetry = { topic: `devices/${device.id}/telemetry`, payload: '1', qos: 1, messageId: 51 } as const;
  pump.raw.sendPacket({ cmd: 'publish', ...telemetry, dup: false, retain: false });
  const ids = [(await pump.raw.next('puback')).messageId, (await pump.raw.next('puback')).messageId];
  expect(ids.sort()).toEqual([50, 51]);
});

test.each([0, 2] as const)('a reply at QoS %i is recorded', async (qos) => {
  const device = await fresh();
  using pump = await commanded(device, port());
  const id = await sent(device.id);
  pump.acknowledge(await pump.next());
  const topic = `devices/${device.id}/commands/${id}/reply/200`;
  const packet = { cmd: 'publish', topic, payload: 'x', qos, dup: false, retain: false } as const;
  pump.raw.sendPacket({ ...packet, ...(qos > 0 && { messageId: 7 }) });
  if (qos === 2) {
    await pump.raw.next('pubrec');
    pump.raw.sendPacket({ cmd: 'pubrel', messageId: 7 });
    expect(await pump.raw.next('pubcomp')).toMatchObject({ reasonCode: 0 });
  }
  await becomes(device.id, id, { state: 'replied' });
});

test('the metrics agree', async () => {
  const device = await fresh();
  using pump = await commanded(device, port());
  const count = async (result: string) =>
    (await house.metrics.commandsTotal.get()).values.find(({ labels }) => labels.result === result)?.value ??
    0;
  const before = { sent: await count('sent'), delivered: await count('delivered') };
  const id = await sent(device.id);
  pump.acknowledge(await pump.next());
  await becomes(device.id, id, { state: 'delivered' });
  expect(await count('sent')).toBe(before.sent + 1);
  expect(await count('delivered')).toBe(before.delivered + 1);
  const waiting = house.rows<{ n: number }>("SELECT count(*) AS n FROM commands WHERE state = 'queued'")[0]
    ?.n;
  expect((await house.metrics.commandsPending.get()).values[0]?.value).toBe(waiting);
});
