/** Rights that are withdrawn leave nothing behind: no subscription, no queued message, no retained one; and no rule fails open. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ApiClient, DeviceIdentity } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { House } from '../harness/house.ts';
import { connectDevice } from '../harness/mqtt-device.ts';

let house: House;
let api: ApiClient;
let speaker: Awaited<ReturnType<typeof connect>>;
beforeAll(async () => {
  house = await House.start();
  api = house.api;
  await role('speaker', [{ allow: 'publish', pattern: 'news/#', retain: true }]);
  await role('hearer', [
    { allow: 'subscribe', pattern: 'news/#' },
    { allow: 'subscribe', pattern: 'all/#' },
  ]);
  speaker = await connect(await inRole('speaker-1', 'speaker'));
});
afterAll(async () => {
  await speaker.client.endAsync();
  await house[Symbol.asyncDispose]();
});

const role = async (name: string, rules: object[]) => {
  expect((await api.call('PUT', `/v1/roles/${name}`, { rules })).status).toBe(200);
};
const inRole = async (id: string, name: string) => {
  const device = await api.enroll('plant', id);
  expect((await api.call('PATCH', `/v1/devices/${id}`, { role: name })).body.role).toBe(name);
  return device;
};
async function connect(device: DeviceIdentity, options = {}) {
  const heard: string[] = [];
  const session = await connectDevice(device, house.port('mqtts'), { protocolVersion: 5, ...options });
  session.client.on('message', (topic, payload) => heard.push(`${topic} ${payload}`));
  return { ...session, heard };
}
const say = (topic: string, payload: string, retain = false) =>
  speaker.client.publishAsync(topic, payload, { qos: 1, retain });

describe('line 22: what stays when rights go', () => {
  test('a subscription that is not granted any more hears nothing, and hears again when it is', async () => {
    const hearer = await connect(await inRole('hearer-1', 'hearer'));
    await hearer.client.subscribeAsync(['news/a', 'all/#'], { qos: 1 });
    await say('news/a', 'before');
    await eventually(() => expect(hearer.heard).toEqual(['news/a before']));
    await api.call('PATCH', '/v1/devices/hearer-1', { role: 'device' });
    await say('news/a', 'between');
    await api.call('PATCH', '/v1/devices/hearer-1', { role: 'hearer' });
    await say('news/a', 'after');
    await eventually(() => expect(hearer.heard).toContain('news/a after'));
    expect(hearer.heard).toEqual(['news/a before', 'news/a after']);
    await hearer.client.endAsync();
  });

  test('what was queued for it while it was away is not handed out after', async () => {
    const device = await inRole('hearer-2', 'hearer');
    const kept = { clean: false, properties: { sessionExpiryInterval: 600 } };
    const first = await connect(device, kept);
    await first.client.subscribeAsync('news/b', { qos: 1 });
    await first.client.endAsync();
    await say('news/b', 'queued');
    await role('deaf', [{ allow: 'subscribe', pattern: 'other/#' }]);
    await api.call('PATCH', '/v1/devices/hearer-2', { role: 'deaf' });
    const again = await connect(device, kept);
    // It may not be told at all: a subscription of its new role proves that the connection works.
    await again.client.subscribeAsync('other/x', { qos: 1 });
    await say('news/b', 'later');
    await again.client.endAsync();
    expect(again.heard).toEqual([]);
  });

  test.each<[string, string, (device: DeviceIdentity) => Promise<unknown>]>([
    ['role', 'left-1', () => api.call('PATCH', '/v1/devices/left-1', { role: 'device' })],
    [
      'certificate',
      'left-2',
      ({ fingerprint }) => api.call('POST', `/v1/certificates/${fingerprint}/revoke`),
    ],
    ['device, revoked', 'left-3', () => api.call('POST', '/v1/devices/left-3/revoke')],
    ['device, disabled', 'left-4', () => api.call('POST', '/v1/devices/left-4/disable')],
    ['device, deleted', 'left-5', () => api.call('DELETE', '/v1/devices/left-5')],
  ])('a retained message whose author has lost its %s is handed to nobody', async (_what, id, withdraw) => {
    const author = await inRole(id, 'speaker');
    const { client } = await connect(author);
    await client.publishAsync(`news/${id}`, 'kept', { qos: 1, retain: true });
    // Left last, so handed out last: when it is there, the other would be.
    await say(`news/after-${id}`, 'by another', true);
    const before = await connect(await inRole(`${id}-early`, 'hearer'));
    await before.client.subscribeAsync('news/#', { qos: 1 });
    await eventually(() => expect(before.heard).toContain(`news/${id} kept`));
    await withdraw(author);
    const after = await connect(await inRole(`${id}-late`, 'hearer'));
    await after.client.subscribeAsync('news/#', { qos: 1 });
    await eventually(() => expect(after.heard).toContain(`news/after-${id} by another`));
    expect(after.heard).not.toContain(`news/${id} kept`);
    await Promise.all([before.client.endAsync(), after.client.endAsync(), client.endAsync(true)]);
  });

  test('while its author is on hold a retained message is held back too', async () => {
    const author = await inRole('author', 'speaker');
    const { client } = await connect(author);
    await client.publishAsync('news/held', 'kept', { qos: 1, retain: true });
    const path = `/v1/certificates/${author.fingerprint}`;
    await api.call('POST', `${path}/revoke`, { reason: 'certificateHold' });
    const hearer = await connect(await inRole('hearer-3', 'hearer'));
    const listen = async () => {
      await hearer.client.subscribeAsync('news/held', { qos: 1 });
      await say('news/held', 'now');
      await eventually(() => expect(hearer.heard).toContain('news/held now'));
      await hearer.client.unsubscribeAsync('news/held');
      return hearer.heard.splice(0);
    };
    expect(await listen()).toEqual(['news/held now']);
    await api.call('POST', `${path}/reinstate`);
    expect(await listen()).toEqual(['news/held kept', 'news/held now']);
    await hearer.client.endAsync();
    client.end(true);
  });

  test('a Will that the role no longer grants is not published', async () => {
    const hearer = await connect(await inRole('hearer-4', 'hearer'));
    await hearer.client.subscribeAsync('news/#', { qos: 1 });
    const will = { topic: 'news/will', payload: Buffer.from('gone'), qos: 1 as const, retain: false };
    const doomed = await connect(await inRole('doomed', 'speaker'), { will });
    await api.call('PATCH', '/v1/devices/doomed', { role: 'device' });
    doomed.client.stream.destroy();
    await doomed.closed;
    await say('news/end', 'will');
    await eventually(() => expect(hearer.heard).toContain('news/end will'));
    expect(hearer.heard.filter((each) => each.startsWith('news/will'))).toEqual([]);
    await hearer.client.endAsync();
  });
});

describe('line 21: rules that could fail open', () => {
  test('a role without rules grants nothing', async () => {
    await role('empty', []);
    const { client } = await connect(await inRole('mute', 'empty'));
    await expect(client.publishAsync('devices/mute/telemetry', '{}', { qos: 1 })).rejects.toMatchObject({
      code: 0x87,
    });
    await expect(client.subscribeAsync('devices/mute/commands/#', { qos: 0 })).rejects.toThrow();
    await client.endAsync();
  });

  test('a blank credential is none', async () => {
    for (const authorization of ['', 'Bearer', 'Bearer ', 'Bearer  x y', 'Basic Og=='])
      expect((await api.call('GET', '/v1/devices', undefined, { authorization })).status).toBe(401);
  });

  test('a role that is gone from the database grants nothing; one that cannot be read opens no door', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'closed-'));
    const alter = (statement: string) => {
      const db = new Database(join(dir, 'data', 'registry.db'));
      db.exec(statement);
      db.close();
    };
    const first = await House.start({ dir });
    const device = await first.api.enroll('plant', 'pump');
    await first[Symbol.asyncDispose]();
    alter(`UPDATE devices SET role = 'nowhere' WHERE id = 'pump'`);
    const second = await House.start({ dir });
    const { client } = await connectDevice(device, second.port('mqtts'), { protocolVersion: 5 });
    const publish = client.publishAsync('devices/pump/telemetry', '{}', { qos: 1 });
    await expect(publish).rejects.toMatchObject({ code: 0x87 });
    await client.endAsync();
    await second[Symbol.asyncDispose]();
    alter(`UPDATE roles SET document = '{"rules": [' WHERE name = 'device'`);
    await expect(House.start({ dir })).rejects.toThrow(/before it was ready/);
    rmSync(dir, { recursive: true });
  });
});
