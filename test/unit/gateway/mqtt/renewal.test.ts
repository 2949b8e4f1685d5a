/** Renewals over sessions are few at once: one of a session, so many of all, and whoever is turned away is told when to come. */
import { expect, test } from 'vitest';
import { systemClock } from '#common/clock.ts';
import type { AskRegistry } from '#common/contract/enrollment.ts';
import { Fault } from '#common/fault.ts';
import { type Asker, Renewals } from '../../../../gateway/mqtt/renewal.ts';
import { eventually } from '../../../harness/eventually.ts';

const own = 'devices/pump/certificates/renew';
const der = Buffer.from([0x30, 0]);

/** A session that listens for both answers, and what was written to it: topic and document. */
function session() {
  const written: Buffer[] = [];
  const asker: Asker = {
    version: 4,
    device: 'pump',
    rights: { mayReceive: () => true } as unknown as Asker['rights'],
    filters: [`${own}/+`],
    maximumPacketSize: Number.POSITIVE_INFINITY,
    certificate: Buffer.from('leaf'),
    write: (bytes) => written.push(bytes),
  };
  const answers = () => written.map((bytes) => JSON.parse(String(bytes.subarray(bytes.indexOf('{')))));
  return { asker, answers, request: { properties: {}, payload: der } };
}

function renewalsOf(ask: () => Promise<unknown>, maxRenewals = 500) {
  const settings = { maxRenewals, maxCsrSize: 1024 };
  return new Renewals({ ask: ask as unknown as AskRegistry, settings, clock: systemClock });
}

test('a second request of a session waits for the answer to the first', async () => {
  const renewals = renewalsOf(() => new Promise(() => {}));
  const { asker, answers, request } = session();
  expect([renewals.take(asker, request), renewals.take(asker, request)]).toEqual([true, true]);
  await eventually(() => expect(answers()).toMatchObject([{ code: 'rate-limited', retryAfterMs: 1000 }]));
});

test('of all sessions mqtt.maxRenewals are under way, and no more', async () => {
  let asked = 0;
  const renewals = renewalsOf(() => {
    asked += 1;
    return new Promise(() => {});
  }, 3);
  const sessions = Array.from({ length: 5 }, session);
  for (const { asker, request } of sessions) renewals.take(asker, request);
  await eventually(() => {
    expect(sessions.flatMap(({ answers }) => answers())).toHaveLength(2);
  });
  expect(asked).toBe(3);
  for (const { code, retryAfterMs } of sessions.flatMap(({ answers }) => answers())) {
    expect(code).toBe('rate-limited');
    expect(retryAfterMs).toBeGreaterThanOrEqual(1000);
  }
});

test('without a registry the device is told to come back, and the place is free again', async () => {
  const renewals = renewalsOf(async () => {
    throw new Fault('unavailable', 'The registry is away.');
  }, 1);
  const sessions = [session(), session()];
  for (const { asker, answers, request } of sessions) {
    renewals.take(asker, request);
    await eventually(() =>
      expect(answers()).toMatchObject([{ code: 'unavailable', retryAfterMs: expect.any(Number) }]),
    );
  }
});
