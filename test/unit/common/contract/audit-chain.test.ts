/** The chain of the audit: whatever is done to past rows is found, named and located. */
import { describe, expect, test } from 'vitest';
import {
  AuditChain,
  type AuditFinding,
  type AuditHead,
  type AuditRow,
  auditGenesis,
  auditHash,
} from '#common/contract/audit-chain.ts';

/** Rows that follow one another, as a registry writes them. */
function chainOf(count: number, from: readonly AuditRow[] = []): AuditRow[] {
  const rows = [...from];
  while (rows.length < count) {
    const id = rows.length + 1;
    const previous = rows.at(-1)?.hash ?? auditGenesis;
    const said = {
      time_ms: id * 1000,
      actor: 'api:a',
      action: 'fleet.create',
      target: `f${id}`,
      detail: '{}',
    };
    rows.push({ id, ...said, previous, hash: auditHash(previous, said) });
  }
  return rows;
}

function verdict(rows: readonly AuditRow[], expected?: Partial<AuditHead>): AuditFinding | null {
  const chain = new AuditChain(expected);
  for (const row of rows) if (!chain.take(row)) break;
  return chain.end();
}

const rows = chainOf(9);
const head: AuditHead = { count: 9, hash: rows[8]!.hash };
const sealed = (row: AuditRow): AuditRow => ({ ...row, hash: auditHash(row.previous, row) });
/** With the ids of their places, as somebody would who hides a removal. */
const renumbered = (list: readonly AuditRow[]) => list.map((row, index) => ({ ...row, id: index + 1 }));

test('rows as they were written are intact, with their head and without', () => {
  expect(verdict(rows)).toBe(null);
  expect(verdict(rows, head)).toBe(null);
  expect(verdict([], { count: 0, hash: auditGenesis })).toBe(null);
});

test('a head that was noted earlier is found on the way', () => {
  expect(verdict(rows, { hash: rows[3]!.hash })).toBe(null);
  expect(verdict(rows, { count: 4, hash: rows[3]!.hash })).toBe(null);
});

describe('a row that was changed', () => {
  for (const [field, value] of [
    ['time_ms', 7],
    ['actor', 'api:b'],
    ['action', 'fleet.change'],
    ['target', 'other'],
    ['detail', '{"a":1}'],
    ['previous', 'f'.repeat(64)],
    ['hash', 'f'.repeat(64)],
  ] as const) {
    test(`in its ${field}`, () => {
      expect(verdict(rows.with(4, { ...rows[4]!, [field]: value }))).toMatchObject({
        what: 'changed',
        at: 5,
      });
    });
  }

  test('and given a new hash: the next does not follow from it', () => {
    const forged = sealed({ ...rows[4]!, target: 'other' });
    expect(verdict(rows.with(4, forged))).toMatchObject({ what: 'rewritten', at: 5 });
  });

  test('with all that follow made anew: only a head that was noted elsewhere tells', () => {
    const forged = chainOf(9, [...rows.slice(0, 4), sealed({ ...rows[4]!, target: 'other' })]);
    expect(verdict(forged)).toBe(null);
    expect(verdict(forged, head)).toMatchObject({ what: 'rewritten', at: 9 });
    expect(verdict(forged, { hash: head.hash })).toMatchObject({ what: 'truncated', at: 10 });
  });
});

test('rows that were removed, one and several, the first too', () => {
  expect(verdict(rows.toSpliced(4, 1))).toMatchObject({ what: 'removed', at: 5 });
  expect(verdict(rows.toSpliced(4, 3))).toMatchObject({
    what: 'removed',
    at: 5,
    sentence: expect.stringMatching(/5 to 7/),
  });
  expect(verdict(rows.slice(1))).toMatchObject({ what: 'removed', at: 1 });
  expect(verdict(renumbered(rows.toSpliced(4, 1)))).toMatchObject({ what: 'rewritten', at: 4 });
});

test('a row that was put in', () => {
  const extra = sealed({ ...rows[4]!, previous: rows[4]!.hash, target: 'extra' });
  expect(verdict(renumbered(rows.toSpliced(5, 0, extra)))).toMatchObject({ what: 'inserted', at: 6 });
  expect(verdict(rows.toSpliced(5, 0, extra))).toMatchObject({ what: 'inserted', at: 5 });
  expect(verdict(rows.toSpliced(5, 0, rows[4]!))).toMatchObject({ what: 'inserted', at: 5 });
});

test('rows in another order, with their ids or with those of their places', () => {
  const swapped = rows.with(4, rows[5]!).with(5, rows[4]!);
  expect(verdict(swapped)).toMatchObject({ what: 'reordered', at: 5 });
  expect(verdict(renumbered(swapped))).toMatchObject({ what: 'reordered', at: 5 });
});

test('a tail that was cut off: found by its head, by a count, and by a hash alone', () => {
  const cut = rows.slice(0, 6);
  expect(verdict(cut)).toBe(null);
  expect(verdict(cut, head)).toMatchObject({ what: 'truncated', at: 7 });
  expect(verdict(cut, { count: 9 })).toMatchObject({ what: 'truncated', at: 7 });
  expect(verdict(cut, { hash: head.hash })).toMatchObject({ what: 'truncated', at: 7 });
  expect(verdict([], head)).toMatchObject({ what: 'truncated', at: 1 });
});
