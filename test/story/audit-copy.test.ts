/** A copy of the audit, a file or a database: checked with no server, and whatever was done to it is located. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ApiClient } from '../harness/api-client.ts';
import { command, House } from '../harness/house.ts';

let house: House;
let api: ApiClient;
beforeAll(async () => {
  house = await House.start();
  api = house.api;
  for (const id of ['a', 'b', 'c']) await api.call('POST', '/v1/fleets', { id });
  await api.enroll('a', 'pump-1');
  await api.call('POST', '/v1/devices/pump-1/revoke');
});
afterAll(() => house[Symbol.asyncDispose]());

describe('a copy', () => {
  const run = (...args: string[]) => {
    const done = spawnSync(process.execPath, [command, 'audit', ...args], {
      cwd: house.dir,
      encoding: 'utf8',
    });
    return { code: done.status, said: done.stdout + done.stderr, json: () => JSON.parse(done.stdout) };
  };
  const file = (name: string) => join(house.dir, name);
  /** Lines of an export: head, rows, and the end. */
  const lines = () => readFileSync(file('audit.ndjson'), 'utf8').trimEnd().split('\n');
  const write = (name: string, list: readonly string[]) => writeFileSync(file(name), `${list.join('\n')}\n`);
  let head: { count: number; hash: string };

  beforeAll(async () => {
    head = (await api.call('GET', '/v1/audit/head')).body;
    expect(run('export', 'audit.ndjson').code).toBe(0);
  });

  test('begins with where the chain begins and ends with its count and last hash', () => {
    const all = lines();
    expect(JSON.parse(all[0]!)).toMatchObject({ audit: 1, genesis: '0'.repeat(64) });
    expect(JSON.parse(all.at(-1)!)).toEqual({ count: head.count, hash: head.hash });
    expect(all).toHaveLength(head.count + 2);
  });

  test('is verified without a server', () => {
    const done = run('verify', 'audit.ndjson', '--data', '/nonexistent', '--json');
    expect(done.code, done.said).toBe(0);
    expect(done.json()).toMatchObject({ intact: true, entries: head.count, head: { hash: head.hash } });
    expect(run('verify', 'audit.ndjson', '--head', head.hash).code).toBe(0);
  });

  test.each<[string, (all: string[]) => string[], string, number]>([
    ['changed', (all) => all.with(5, all[5]!.replace('"actor":"', '"actor":"not-')), 'changed', 5],
    ['removed', (all) => all.toSpliced(5, 1), 'removed', 5],
    ['put in twice', (all) => all.toSpliced(6, 0, all[5]!), 'inserted', 5],
    ['swapped', (all) => all.with(5, all[6]!).with(6, all[5]!), 'reordered', 5],
  ])('a row that was %s is found and located', (name, tamper, what, at) => {
    write(`${name}.ndjson`, tamper(lines()));
    const done = run('verify', `${name}.ndjson`, '--json');
    expect(done.code).toBe(1);
    expect(done.json()).toMatchObject({ intact: false, brokenAt: at, finding: { what } });
    expect(run('verify', `${name}.ndjson`).said).toMatch(new RegExp(`${at}`));
  });

  test('one that was cut off is found by its end line, and with a forged end line by the head', () => {
    const all = lines();
    write('cut.ndjson', all.slice(0, -3));
    expect(run('verify', 'cut.ndjson').code).toBe(1);
    const rows = all.slice(0, -3);
    const last = JSON.parse(rows.at(-1)!) as { id: number; hash: string };
    write('forged.ndjson', [...rows, JSON.stringify({ count: last.id, hash: last.hash })]);
    expect(run('verify', 'forged.ndjson').code).toBe(0);
    const done = run('verify', 'forged.ndjson', '--head', head.hash, '--json');
    expect(done.code).toBe(1);
    expect(done.json()).toMatchObject({ finding: { what: 'truncated', at: last.id + 1 } });
  });

  test('a file that is no export is refused with a sentence', () => {
    write('other.ndjson', ['{"hello":1}']);
    const done = run('verify', 'other.ndjson');
    expect(done.code).toBe(1);
    expect(done.said).toMatch(/audit export/);
  });

  test('of the database is verified too, and what was done to it is located', () => {
    const path = file('copy.db');
    const live = new Database(join(house.dir, 'data', 'registry.db'), { readonly: true });
    live.exec(`VACUUM INTO '${path}'`);
    live.close();
    const whole = run('verify', '--database', 'copy.db', '--json');
    expect(whole.code, whole.said).toBe(0);
    expect(whole.json()).toMatchObject({ intact: true, entries: head.count });
    const tampered: [string, number, string][] = [
      [`UPDATE audit SET detail = '{}' WHERE id = 4`, 4, 'changed'],
      ['DELETE FROM audit WHERE id = 4', 4, 'removed'],
      [`DELETE FROM audit WHERE id > ${head.count - 2}`, head.count - 1, 'truncated'],
    ];
    for (const [statement, at, what] of tampered) {
      copyFileSync(path, file('tampered.db'));
      const db = new Database(file('tampered.db'));
      db.exec(statement);
      db.close();
      const done = run('verify', '--database', 'tampered.db', '--head', head.hash, '--json');
      expect(done.json()).toMatchObject({ intact: false, brokenAt: at, finding: { what } });
    }
  });
});
