/** What is kept of sessions: for whom, how long, how much; over a restart, and between processes. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Change } from '#common/contract/change.ts';
import type { BrokerPacket } from '../../../../../gateway/mqtt/store/packet.ts';
import type { SessionStore } from '../../../../../gateway/mqtt/store/session-store.ts';
import type { StoredWill } from '../../../../../gateway/mqtt/store/will-table.ts';
import { withdraw } from '../../../../../gateway/mqtt/store/withdrawal.ts';
import { SessionFolder, SessionNeighbour, sessionStoreDefaults } from '../../../../harness/session-file.ts';
import { StillClock } from '../../../../harness/still-clock.ts';

let folder: SessionFolder;
let store: SessionStore;
let clock: StillClock;

beforeEach(() => {
  folder = new SessionFolder();
  clock = new StillClock(1_800_000_000_000);
});
afterEach(async () => {
  await store[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const open = async (
  settings: Partial<typeof sessionStoreDefaults.settings> = {},
  neighbours: string[] = [],
) => {
  store = await folder.open({
    clock,
    neighbours,
    settings: { ...sessionStoreDefaults.settings, ...settings },
  });
};
const reopen = async () => {
  await store[Symbol.asyncDispose]();
  await open();
};

const arrive = (clientId: string, more: object = {}) =>
  store.sessions.open(
    {
      clientId,
      device: clientId,
      fingerprint: `of-${clientId}`,
      clean: false,
      expiryMs: 60_000,
      will: null,
      ...more,
    },
    clock.now(),
  );
const subscribe = (clientId: string, topic: string, more: object = {}) =>
  store.subscriptions.add(clientId, [{ topic, qos: 1, rh: 0, rap: false, nl: false, ...more }]);

let counter = 0;
const message = (topic: string, payload: string, more: Partial<BrokerPacket> = {}): BrokerPacket => {
  counter += 1;
  const number = { brokerId: 'here', brokerCounter: counter };
  return { cmd: 'publish', topic, payload: Buffer.from(payload), qos: 1, retain: false, ...number, ...more };
};
const say = (topic: string, payload: string, more: Partial<BrokerPacket> = {}) =>
  store.queue.add(store.index.match(topic), message(topic, payload, more));
const queueOf = async (clientId: string) =>
  (await store.queue.page(clientId, 0, 100, clock.now())).map(({ packet }) =>
    'payload' in packet ? String(packet.payload) : packet.cmd,
  );
const will = (delayMs: number): StoredWill => ({
  topic: 'last/words',
  payload: Buffer.from('x'),
  qos: 1,
  retain: false,
  properties: undefined,
  delayMs,
  protocol: 'mqtt5',
});
const dueWills = async () => (await store.wills.claim(clock.now())).map(({ clientId }) => clientId);

describe('limits', () => {
  test('of messages: a session misses what comes when so many are stored, until it has taken some', async () => {
    await open({ maxStoredMessages: 3 });
    await arrive('full');
    await arrive('other');
    await subscribe('full', 't');
    for (const payload of ['1', '2', '3', '4']) await say('t', payload);
    await subscribe('other', 't');
    await say('t', '5');
    expect([await queueOf('full'), await queueOf('other')]).toEqual([['1', '2', '3'], ['5']]);
    expect([store.queue.overflowed, store.queue.count()]).toEqual([2, 4]);
    const first = message('t', '1', { brokerCounter: counter - 4, messageId: 7 });
    expect(await store.queue.mark('full', first)).toBe(true);
    await store.queue.remove('full', 7);
    await say('t', '6');
    expect(await queueOf('full')).toEqual(['2', '3', '6']);
  });

  test('of bytes: one that does not fit is missed, a smaller one after it is not', async () => {
    await open({ maxStoredSize: 100 });
    await arrive('full');
    await subscribe('full', 't');
    await say('t', 'a'.repeat(200));
    await say('t', 'b'.repeat(60));
    await say('t', 'c'.repeat(60));
    await say('t', 'd'.repeat(30));
    expect((await queueOf('full')).map((payload) => payload[0])).toEqual(['b', 'd']);
  });

  test('of retained messages and their bytes: refused, until one is taken back', async () => {
    await open({ maxRetainedMessages: 2, maxRetainedSize: 100 });
    await store.retained.put('d', message('a', '1'));
    await store.retained.put('d', message('b', '2'));
    await expect(store.retained.put('d', message('c', '3'))).rejects.toMatchObject({
      kind: 'quota-exceeded',
    });
    await store.retained.put('d', message('a', 'in place of it'));
    await store.retained.put('d', message('b', ''));
    await expect(store.retained.put('d', message('c', 'x'.repeat(100)))).rejects.toMatchObject({
      kind: 'quota-exceeded',
    });
    await store.retained.put('d', message('c', '3'));
    expect(store.retained.count()).toBe(2);
  });

  test('of the file: what does not fit is not acknowledged', async () => {
    await open({ maxStoreSize: 512 * 1024 });
    await arrive('full');
    await subscribe('full', 't');
    const fill = async () => {
      for (let n = 0; n < 100; n++) await say('t', 'x'.repeat(20_000));
    };
    await expect(fill()).rejects.toMatchObject({ kind: 'unavailable' });
    const stored = (await queueOf('full')).length;
    expect(stored).toBeGreaterThan(5);
    expect(stored).toBeLessThan(30);
  });
});

describe('times', () => {
  test('a session that is away ends after its expiry, with all that it had', async () => {
    await open();
    const { epoch } = await arrive('brief');
    await subscribe('brief', 't');
    await say('t', 'queued');
    await store.sessions.left('brief', epoch, 60_000, clock.now());
    clock.set(clock.now() + 59_000);
    expect(store.sessions.hasExpired(clock.now())).toBe(false);
    clock.set(clock.now() + 2_000);
    await store.sessions.expire(clock.now());
    expect([store.index.has('brief'), store.index.match('t'), store.queue.count()]).toEqual([false, [], 0]);
  });

  test('after a restart the time that it was connected last counts, and what has expired is gone', async () => {
    await open();
    await arrive('connected');
    const { epoch } = await arrive('away');
    await store.sessions.left('away', epoch, 60_000, clock.now());
    clock.set(clock.now() + 61_000);
    await reopen();
    expect([store.index.has('connected'), store.index.has('away')]).toEqual([true, false]);
    expect((await arrive('connected')).present).toBe(true);
  });

  test('one that has expired and is still in the file is not resumed', async () => {
    await open();
    const { epoch } = await arrive('late');
    await store.sessions.left('late', epoch, 1_000, clock.now());
    clock.set(clock.now() + 1_000);
    expect((await arrive('late')).present).toBe(false);
  });

  test('a message that has expired is neither sent nor kept; a retained one neither', async () => {
    await open();
    await arrive('away');
    await subscribe('away', 't');
    await say('t', 'short', { messageExpiry: clock.now() + 1_000 });
    await say('t', 'long', { messageExpiry: clock.now() + 5_000 });
    await store.retained.put('d', message('r', 'short', { messageExpiry: clock.now() + 1_000 }));
    clock.set(clock.now() + 1_000);
    expect(await queueOf('away')).toEqual(['long']);
    expect(await Array.fromAsync(store.retained.matching('#', clock.now()))).toEqual([]);
    clock.set(clock.now() + 5_000);
    await store.sweep();
    expect([store.queue.count(), store.retained.count()]).toEqual([0, 0]);
  });
});

describe('whose a session is', () => {
  test('another device never gets it, nor what was queued', async () => {
    await open();
    await arrive('shared');
    await subscribe('shared', 't');
    await say('t', 'for the first');
    expect((await arrive('shared', { device: 'thief' })).present).toBe(false);
    expect([await queueOf('shared'), store.index.match('t')]).toEqual([[], []]);
  });

  test('a connection that was taken over has no say any more', async () => {
    await open();
    const older = await arrive('busy');
    await arrive('busy');
    await store.sessions.left('busy', older.epoch, 0, clock.now());
    expect(store.index.has('busy')).toBe(true);
  });

  test.each<[string, Partial<Change['entries'][number]>, string | null, boolean]>([
    ['a device that is deleted', { deviceState: 'deleted', certificateState: 'revoked' }, null, false],
    ['a device that is revoked', { deviceState: 'revoked', certificateState: 'revoked' }, null, false],
    ['a certificate that is compromised', { certificateState: 'revoked' }, 'keyCompromise', false],
    ['a certificate that was replaced', { certificateState: 'revoked' }, 'superseded', true],
    ['a certificate on hold', { certificateState: 'held' }, 'certificateHold', true],
    ['a device that is disabled', { deviceState: 'disabled' }, null, true],
  ])('%s: what is left', async (_what, entry, reason, left) => {
    await open();
    const { epoch } = await arrive('d', { will: will(30_000) });
    await subscribe('d', 't');
    await say('t', 'queued');
    await store.wills.due('d', epoch, 60_000, clock.now());
    const state = {
      device: 'd',
      fingerprint: 'of-d',
      deviceState: 'active',
      certificateState: 'issued',
      ...entry,
    };
    await withdraw(store, { entries: [state], reason } as unknown as Change);
    clock.set(clock.now() + 31_000);
    expect([store.index.has('d'), (await queueOf('d')).length, (await dueWills()).length]).toEqual(
      left ? [true, 1, 1] : [false, 0, 0],
    );
  });
});

describe('Wills', () => {
  test('one with a delay is due after it, at the latest when the session ends; one without at once', async () => {
    await open();
    for (const [clientId, delayMs, expiryMs] of [
      ['slow', 30_000, 60_000],
      ['cut short', 30_000, 10_000],
      ['fast', 0, 60_000],
    ] as const) {
      const { epoch } = await arrive(clientId, { will: will(delayMs) });
      await store.wills.due(clientId, epoch, expiryMs, clock.now());
    }
    expect(await dueWills()).toEqual(['fast']);
    clock.set(clock.now() + 10_000);
    expect(await dueWills()).toEqual(['cut short']);
    clock.set(clock.now() + 20_000);
    expect(await dueWills()).toEqual(['slow']);
  });

  test('whoever comes back before the delay takes it along; a clean start makes it due', async () => {
    await open();
    for (const clientId of ['returns', 'starts afresh']) {
      const { epoch } = await arrive(clientId, { will: will(30_000) });
      await store.wills.due(clientId, epoch, 60_000, clock.now());
    }
    await arrive('returns');
    await arrive('starts afresh', { clean: true });
    expect(await dueWills()).toEqual(['starts afresh']);
    clock.set(clock.now() + 31_000);
    expect(await dueWills()).toEqual([]);
  });

  test('of a process that has fallen they are due as of the next start, and once', async () => {
    await open();
    await arrive('fallen', { will: will(0) });
    await arrive('delayed', { will: will(5_000) });
    await reopen();
    const [first] = await store.wills.claim(clock.now());
    expect(first!.clientId).toBe('fallen');
    await store.wills.published(first!.id);
    clock.set(clock.now() + 5_000);
    expect(await dueWills()).toEqual(['delayed']);
  });

  test('one that was claimed by a process that has died is due again', async () => {
    await open();
    const { epoch } = await arrive('d', { will: will(0) });
    await store.wills.due('d', epoch, 0, clock.now());
    expect(await dueWills()).toEqual(['d']);
    expect(await dueWills()).toEqual([]);
    clock.set(clock.now() + 61_000);
    expect(await dueWills()).toEqual(['d']);
  });
});

describe('two processes on one file', () => {
  test('each hears at once of the sessions and subscriptions of the other', async () => {
    await open({}, ['neighbour']);
    using neighbour = await SessionNeighbour.start(folder);
    const arrival = { device: 'd', fingerprint: 'f', clean: false, expiryMs: 60_000, will: null };
    expect(store.index.has('theirs')).toBe(false);
    await neighbour.ask({ ask: 'open', arrival: { ...arrival, clientId: 'theirs' } });
    await neighbour.ask({ ask: 'subscribe', clientId: 'theirs', filter: 'a/+' });
    expect(store.index.has('theirs')).toBe(true);
    expect(store.index.match('a/b').map(({ clientId }) => clientId)).toEqual(['theirs']);
    await arrive('ours');
    await subscribe('ours', 'a/#');
    expect(await neighbour.ask({ ask: 'keeps', clientId: 'ours' })).toBe(true);
    expect(await neighbour.ask({ ask: 'match', topic: 'a/b' })).toEqual(['ours', 'theirs']);
    await store.sessions.forget({ device: 'ours' });
    expect(await neighbour.ask({ ask: 'keeps', clientId: 'ours' })).toBe(false);
    expect(await neighbour.ask({ ask: 'match', topic: 'a/b' })).toEqual(['theirs']);
  });

  test('both write at once: every message is there once, those of each in their order', {
    timeout: 60_000,
  }, async () => {
    // Each waits for the other, by a clock that goes.
    store = await folder.open({ neighbours: ['neighbour'] });
    await arrive('reader');
    await subscribe('reader', 'busy/#');
    using neighbour = await SessionNeighbour.start(folder);
    const count = 200;
    const theirs = neighbour.ask({ ask: 'publish', topic: 'busy/t', from: 'there', count });
    for (let n = 0; n < count; n++) await say('busy/t', `here ${n}`);
    await theirs;
    const all: string[] = [];
    for (let place = 0; ; ) {
      const page = await store.queue.page('reader', place, 100, clock.now());
      if (page.length === 0) break;
      all.push(...page.map(({ packet }) => String((packet as BrokerPacket).payload)));
      place = page.at(-1)!.place;
    }
    for (const from of ['here', 'there'])
      expect(all.filter((each) => each.startsWith(`${from} `))).toEqual(
        Array.from({ length: count }, (_, n) => `${from} ${n}`),
      );
  });

  test('whoever was connected to a process that has died is away from when that is said', async () => {
    await open({}, ['neighbour']);
    const neighbour = await SessionNeighbour.start(folder);
    const arrival = { device: 'd', fingerprint: 'f', clean: false, expiryMs: 1_000, will: will(0) };
    await neighbour.ask({ ask: 'open', arrival: { ...arrival, clientId: 'orphan' } });
    neighbour[Symbol.dispose]();
    expect([store.sessions.hasExpired(clock.now() + 1e9), await dueWills()]).toEqual([false, []]);
    await store.sessions.abandonAllBut(['gateway'], clock.now());
    expect(await dueWills()).toEqual(['orphan']);
    clock.set(clock.now() + 1_000);
    await store.sessions.expire(clock.now());
    expect(store.index.has('orphan')).toBe(false);
  });
});
