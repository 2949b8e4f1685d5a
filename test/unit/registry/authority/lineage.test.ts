/** A lineage: who renews whom, what is past, and what makes room without taking a device's last way in. */
import { expect, test } from 'vitest';
import { type Kin, lineageIn, pastOf, roomIn } from '../../../../registry/authority/lineage.ts';

const nowMs = 1_000_000;
let age = 0;
const kin = (fingerprint: string, replaces: string | null, more: Partial<Kin> = {}): Kin => ({
  fingerprint,
  replaces,
  state: 'issued',
  device: 'pump',
  fleet: 'plant',
  reserved_ms: ++age,
  not_after_ms: nowMs + 1000,
  used_ms: null,
  seen_ms: null,
  retire_ms: null,
  ...more,
});
const names = (list: readonly Kin[]) => list.map(({ fingerprint }) => fingerprint);

const a = kin('a', null, { used_ms: 10, seen_ms: 20 });
const b = kin('b', 'a');
const c = kin('c', 'a');
const d = kin('d', 'c');
const other = kin('other', null);
const all = [a, b, c, d, other];

test('ancestors, siblings and descendants are one lineage; what was enrolled apart is not', () => {
  for (const { fingerprint } of [a, b, c, d])
    expect(names(lineageIn(all, fingerprint))).toEqual(['a', 'b', 'c', 'd']);
  expect(names(lineageIn(all, 'other'))).toEqual(['other']);
});

test('the first use of one makes those past that were issued before it, and no newer one', () => {
  const lineage = lineageIn(all, 'c');
  expect(names(pastOf(lineage, 'c'))).toEqual(['a', 'b']);
  expect(names(pastOf(lineage, 'a'))).toEqual([]);
});

test('what is past already, or revoked, does not become past again', () => {
  const lineage = [kin('x', null, { retire_ms: 5 }), kin('y', 'x', { state: 'revoked' }), kin('z', 'y')];
  expect(pastOf(lineage, 'z')).toEqual([]);
});

test('the oldest that was never used makes room first; never the one that is presented', () => {
  expect(names(roomIn(all, 'a', 2, nowMs))).toEqual(['b', 'c']);
  expect(names(roomIn(all, 'b', 1, nowMs))).toEqual(['c']);
  expect(roomIn(all, 'a', 0, nowMs)).toEqual([]);
});

test('then those that are past, but never the one that was used last', () => {
  const past = kin('past', null, { used_ms: 1, seen_ms: 2, retire_ms: nowMs + 5 });
  const last = kin('last', 'past', { used_ms: 8, seen_ms: 9, retire_ms: nowMs + 5 });
  const inUse = kin('in-use', 'last', { used_ms: 4, seen_ms: 4 });
  expect(names(roomIn([past, last, inUse], 'in-use', 3, nowMs))).toEqual(['past']);
});

test('what has expired holds no place, and makes none', () => {
  expect(roomIn([a, kin('gone', 'a', { not_after_ms: nowMs - 1 })], 'a', 1, nowMs)).toEqual([]);
});
