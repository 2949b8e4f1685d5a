/** What a sender of commands can rely on: times to live, waiting, sending again, withdrawing, and hearing of every outcome. */
import { readFile } from 'node:fs/promises';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { commandApi, startCommandHouse } from '../harness/command-api.ts';
import { commanded } from '../harness/commanded.ts';
import { eventually } from '../harness/eventually.ts';
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

describe('time to live', () => {
  test('what was not delivered in time expires, and is told of', async () => {
    const device = await fresh();
    const id = await sent(device.id, { name: 'late', ttl: '1m' });
    house.clock.aheadMs += 61_000;
    await becomes(device.id, id, { state: 'expired', attempts: 0, endedAt: expect.any(String) });
    using pump = await commanded(device, port());
    const next = await sent(device.id);
    expect((await pump.next()).id).toBe(next);
    const { body } = await house.api.call('GET', '/v1/audit?since=0&limit=1000');
    expect(body.items).toContainEqual(
      expect.objectContaining({ action: 'command.expire', target: id, actor: 'system' }),
    );
  });

  test('a reply that comes too late is refused', async () => {
    const device = await fresh();
    using pump = await commanded(device, port());
    const id = await sent(device.id, { name: 'slow', ttl: '1m' });
    pump.acknowledge(await pump.next());
    await becomes(device.id, id, { state: 'delivered' });
    house.clock.aheadMs += 61_000;
    pump.reply(id, 200, 'done');
    const puback = await pump.raw.next('puback');
    expect(puback.reasonCode).toBe(0x80);
    expect(puback.properties.reasonString).toContain('run out');
    expect(await show(device.id, id)).toMatchObject({ state: 'delivered', reply: null });
  });

  test('a call that waits longer than the command lives is told so', async () => {
    const device = await fresh();
    const { status, body } = await send(device.id, { name: 'brief', ttl: '300ms', wait: '5s' });
    expect([status, body.code]).toEqual([410, 'command-expired']);
    expect(body.commandId).toMatch(/^[0-9a-f]{32}$/);
  });
});

describe('the sender', () => {
  test('waits in vain: the command stands', async () => {
    const device = await fresh();
    const { status, body } = await send(device.id, { name: 'x', wait: '100ms' });
    expect([status, body.code]).toEqual([504, 'command-unanswered']);
    expect(await show(device.id, body.commandId)).toMatchObject({ state: 'queued' });
  });

  test('an order with the same Idempotency-Key is the same command', async () => {
    const device = await fresh();
    const headers = { 'idempotency-key': `key-${device.id}` };
    const first = await send(device.id, { name: 'once', payload: 1 }, headers);
    const again = await send(device.id, { name: 'once', payload: 1 }, headers);
    expect([first.status, again.status]).toEqual([202, 202]);
    expect(again.body).toEqual(first.body);
    expect((await send(device.id, { name: 'other' }, headers)).status).toBe(409);
    // As after a crash between the command and its answer.
    const { body } = await house.api.call('GET', `/v1/devices/${device.id}/commands`);
    expect(body.items).toHaveLength(1);
  });

  test('one that waited in vain waits on with the same key', async () => {
    const device = await fresh();
    const headers = { 'idempotency-key': `wait-${device.id}` };
    const order = { name: 'x', wait: '1s' };
    const first = await send(device.id, { ...order, wait: '1s' }, headers);
    expect(first.status).toBe(504);
    using pump = await commanded(device, port());
    const packet = await pump.next();
    expect(packet.id).toBe(first.body.commandId);
    pump.reply(packet.id, 200, 'at last');
    await pump.raw.next('puback');
    const second = await send(device.id, order, headers);
    expect(second.status).toBe(200);
    expect(second.body).toMatchObject({ commandId: packet.id, reply: { payload: 'at last' } });
  });

  test('takes back what is not delivered', async () => {
    const device = await fresh();
    const id = await sent(device.id);
    const path = `/v1/devices/${device.id}/commands/${id}`;
    expect((await house.api.call('DELETE', path)).body).toMatchObject({ state: 'withdrawn' });
    expect((await house.api.call('DELETE', path)).status).toBe(409);
    using pump = await commanded(device, port());
    const next = await sent(device.id);
    const packet = await pump.next();
    expect(packet.id).toBe(next);
    pump.acknowledge(packet);
    await becomes(device.id, next, { state: 'delivered' });
    expect((await house.api.call('DELETE', path.replace(id, next))).status).toBe(409);
  });

  test('follows what becomes of commands, from where it stopped', async () => {
    const device = await fresh();
    using pump = await commanded(device, port());
    const id = await sent(device.id);
    pump.acknowledge(await pump.next());
    await becomes(device.id, id, { state: 'delivered' });
    const { revision } = house.rows<{ revision: number }>(
      'SELECT max(revision) AS revision FROM commands',
    )[0]!;
    const seen = await follow(0);
    expect(seen.find(({ commandId }) => commandId === id)).toMatchObject({ revision, state: 'delivered' });
    pump.reply(id, 201, 'made');
    await pump.raw.next('puback');
    const [next] = await follow(revision);
    expect(next).toMatchObject({ commandId: id, state: 'replied', sender: 'api:admin' });
    expect(next?.reply).toMatchObject({ status: 201, payload: 'made' });
  });

  test.each([
    [{ name: 'a/b' }, 400],
    [{ name: 'reply' }, 400],
    [{ name: '+' }, 400],
    [{ name: 'x', payload: 'y'.repeat(1025) }, 413],
    [{ name: 'x', payloadBase64: '*' }, 400],
    [{ name: 'x', payload: 1, payloadBase64: 'AA==' }, 400],
    [{ name: 'x', ttl: '3d' }, 400],
    [{ name: 'x', ttl: '0s' }, 400],
    [{ name: 'x', wait: '6s' }, 400],
  ])('%j is refused with %i', async (order, status) => {
    const device = await fresh();
    expect((await send(device.id, order)).status).toBe(status);
  });

  test('payloads arrive as they were sent', async () => {
    const device = await fresh();
    using pump = await commanded(device, port());
    const cases: [object, Buffer, string][] = [
      [{ payload: 'täxt' }, Buffer.from('täxt'), 'text/plain; charset=utf-8'],
      [{ payload: [1, null] }, Buffer.from('[1,null]'), 'application/json'],
      [{ payload: null }, Buffer.from('null'), 'application/json'],
      [{ payloadBase64: 'AAH/' }, Buffer.from([0, 1, 255]), 'application/octet-stream'],
      [{ payload: '<a/>', contentType: 'text/xml' }, Buffer.from('<a/>'), 'text/xml'],
    ];
    for (const [order, bytes, contentType] of cases) {
      await sent(device.id, { name: 'x', ...order });
      const packet = await pump.next();
      expect(packet.payload).toEqual(bytes);
      expect(packet.properties?.contentType).toBe(contentType);
      pump.acknowledge(packet);
    }
  });

  test('registry.maxCommandsPerDevice wait, and no more', async () => {
    const device = await fresh();
    for (let n = 0; n < 20; n++) await sent(device.id);
    const { status, body } = await send(device.id, { name: 'x' });
    expect([status, body.code]).toEqual([429, 'quota-exceeded']);
  });

  test('registry.maxCommandWaits calls wait, and no more', async () => {
    const device = await fresh();
    const waiting = [1, 2].map(() => send(device.id, { name: 'x', wait: '2s' }));
    await eventually(async () => {
      const { body } = await house.api.call('GET', `/v1/devices/${device.id}/commands`);
      expect(body.items).toHaveLength(2);
    });
    const { status, body } = await send(device.id, { name: 'x', wait: '2s' });
    expect([status, body.code]).toEqual([503, 'unavailable']);
    expect((await Promise.all(waiting)).map((each) => each.status)).toEqual([504, 504]);
  });
});

interface Told {
  commandId: string;
  revision: number;
  state: string;
  reply: Record<string, unknown> | null;
}

/** What the stream of outcomes has to say by now. */
async function follow(since: number): Promise<Told[]> {
  const agent = new Agent({ connect: { ca: await readFile(house.registry.caFile, 'utf8') } });
  const token = (await readFile(house.registry.adminTokenFile, 'utf8')).trim();
  const { body } = await request(`${house.registry.urls.registry}/v1/commands/outcomes?since=${since}`, {
    dispatcher: agent,
    headers: { authorization: `Bearer ${token}` },
  });
  let text = '';
  for await (const chunk of body) {
    text += String(chunk);
    // An empty line: it has told all there is.
    if (text.endsWith('\n\n') || text === '\n') break;
  }
  await agent.destroy();
  return text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Told]));
}
