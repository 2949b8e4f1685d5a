/** Devices in bulk: long lists, some lines broken, sent twice, killed in the middle; and many enrolled by the command. */
import { execFile, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeCsr } from '#common/x509/csr.ts';
import { eventually } from '../harness/eventually.ts';
import { command, House } from '../harness/house.ts';

const run = promisify(execFile);
let house: House;
let agent: Agent;
const call: House['api']['call'] = (...args) => house.api.call(...args);
beforeAll(async () => {
  house = await House.start({ config: 'registry: { maxImportLine: 8KiB }\n' });
  agent = new Agent({ connect: { ca: readFileSync(house.doors.ca, 'utf8') } });
  await call('POST', '/v1/fleets', { id: 'plant' });
});
afterAll(async () => {
  await agent.destroy();
  await house[Symbol.asyncDispose]();
});

interface Result {
  line: number;
  id: string | null;
  status: string;
  code?: string;
  detail?: string;
  certificate?: string;
}

async function send(body: string | Readable, contentType = 'application/x-ndjson') {
  const response = await request(`${house.doors.registry}/v1/devices:import`, {
    method: 'POST',
    dispatcher: agent,
    headers: {
      authorization: `Bearer ${readFileSync(house.doors.adminTokenFile, 'utf8').trim()}`,
      'content-type': contentType,
    },
    body,
  });
  return response;
}
async function importLines(lines: readonly unknown[]): Promise<Result[]> {
  const text = lines.map((line) => `${typeof line === 'string' ? line : JSON.stringify(line)}\n`).join('');
  const { statusCode, body } = await send(text);
  expect(statusCode).toBe(200);
  return (await body.text())
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));
}
const csrOf = (id: string) => makeCsr(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey, id);

/** The command, on this house. */
const fleetgate = (...args: string[]) =>
  run(process.execPath, [command, ...args, '--data', join(house.dir, 'data'), '--json'], {
    encoding: 'utf8',
  }).then(
    ({ stdout }) => ({ code: 0, answer: JSON.parse(stdout) }),
    ({ code, stdout, stderr }) => ({ code, answer: stdout ? JSON.parse(stdout) : stderr }),
  );

describe('devices:import', () => {
  test('registers, with role, attributes and state; and answers what was done as done', async () => {
    await call('PUT', '/v1/roles/gauge', { rules: [] });
    const lines = [
      { id: 'imp-1', fleet: 'plant' },
      { id: 'imp-2', fleet: 'plant', role: 'gauge', attributes: { site: 'Turin' }, state: 'pending' },
    ];
    const first = await importLines(lines);
    expect(first).toEqual([
      { line: 1, id: 'imp-1', status: 'registered' },
      { line: 2, id: 'imp-2', status: 'registered' },
    ]);
    expect((await importLines(lines)).map(({ status }) => status)).toEqual(['done', 'done']);
    expect((await call('GET', '/v1/devices/imp-2')).body).toMatchObject({
      role: 'gauge',
      attributes: { site: 'Turin' },
      state: 'pending',
      certificates: [],
    });
    // What has become of it since is its own affair.
    await call('POST', '/v1/devices/imp-1/disable');
    expect((await importLines(lines)).map(({ status }) => status)).toEqual(['done', 'done']);
    // It enrolls like any other, and keeps what it was registered with.
    const { body } = await call('POST', '/v1/fleets/plant/tokens', { deviceId: 'imp-2' });
    const ask = { deviceId: 'imp-2', csr: await csrOf('imp-2'), attributes: { site: 'elsewhere' } };
    const headers = { authorization: `Bearer ${body.token}` };
    expect((await call('POST', '/v1/enroll', ask, headers)).status).toBe(201);
    expect((await call('GET', '/v1/devices/imp-2')).body).toMatchObject({
      state: 'pending',
      attributes: { site: 'Turin' },
    });
  });

  test('with a CSR it enrolls at once; sent again it gives the same certificate', async () => {
    await call('POST', '/v1/fleets', { id: 'careful', approval: 'manual' });
    const line = { id: 'imp-3', fleet: 'careful', csr: await csrOf('imp-3') };
    const [first] = await importLines([line]);
    expect(first).toMatchObject({ status: 'enrolled', certificate: expect.stringMatching(/BEGIN/) });
    const [again] = await importLines([line]);
    expect(again).toEqual({ ...first, status: 'done' });
    const [wrong] = await importLines([{ ...line, id: 'imp-4' }]);
    expect(wrong).toMatchObject({ status: 'refused', code: 'csr-subject' });
  });

  test('every line that is broken has its word, and the others are done', async () => {
    await call('POST', '/v1/fleets', { id: 'yard' });
    const results = await importLines([
      { id: 'ok-1', fleet: 'plant' },
      '{"id":',
      '[]',
      { fleet: 'plant' },
      { id: 'no way', fleet: 'plant' },
      { id: 'ok-1', fleet: 'yard' },
      { id: 'ok-1', fleet: 'plant', attributes: { a: '1' } },
      { id: 'x-1', fleet: 'nowhere' },
      { id: 'x-2', fleet: 'plant', role: 'nobody' },
      { id: 'x-3', fleet: 'plant', state: 'revoked' },
      { id: 'x-4', fleet: 'plant', more: true },
      { id: 'x-5', fleet: 'plant', attributes: { big: 'x'.repeat(9000) } },
      { id: 'x-6', fleet: 'plant', attributes: { big: 'x'.repeat(300) } },
      { id: 'x-7', fleet: 'plant', csr: 'hello' },
      { id: 'x-8', fleet: 'plant', attributes: { 'a b': 'c' } },
      '',
      { id: 'ok-2', fleet: 'plant' },
    ]);
    expect(results.map(({ line, status, code }) => [line, code ?? status])).toEqual([
      [1, 'registered'],
      [2, 'malformed'],
      [3, 'malformed'],
      [4, 'malformed'],
      [5, 'malformed'],
      [6, 'conflict'],
      [7, 'conflict'],
      [8, 'not-found'],
      [9, 'not-found'],
      [10, 'malformed'],
      [11, 'malformed'],
      [12, 'too-large'],
      [13, 'malformed'],
      [14, 'csr-malformed'],
      [15, 'malformed'],
      [17, 'registered'],
    ]);
  });

  test('answers while the list is still being sent', async () => {
    const list = new Readable({ read() {} });
    list.push('{"id":"live-1","fleet":"plant"}\n');
    const { body } = await send(list);
    const results = body.setEncoding('utf8')[Symbol.asyncIterator]();
    expect(JSON.parse((await results.next()).value)).toMatchObject({ id: 'live-1', status: 'registered' });
    list.push('{"id":"live-2","fleet":"plant"}\n');
    expect(JSON.parse((await results.next()).value)).toMatchObject({ id: 'live-2', status: 'registered' });
    list.push(null);
    expect((await results.next()).done).toBe(true);
  });

  test('a list that breaks off has done what came whole, and the registry goes on', async () => {
    const list = new Readable({ read() {} });
    list.push('{"id":"cut-1","fleet":"plant"}\n');
    const { body } = await send(list);
    await body[Symbol.asyncIterator]().next();
    list.destroy(new Error('gone'));
    await eventually(async () => expect((await call('GET', '/v1/devices/cut-1')).status).toBe(200));
    expect((await call('GET', '/v1/status')).status).toBe(200);
  });

  test('is for operators, and NDJSON only', async () => {
    const { body } = await call('POST', '/v1/api-tokens', { name: 'maker', role: 'enroller' });
    const headers = { authorization: `Bearer ${body.token}` };
    expect((await call('POST', '/v1/devices:import', {}, headers)).status).toBe(403);
    expect((await call('POST', '/v1/devices:import', {})).status).toBe(415);
    expect((await call('POST', '/v1/devicesX', {})).status).toBe(404);
    const paths = Object.keys((await call('GET', '/openapi.json')).body.paths);
    expect(paths).toContain('/v1/devices:import');
  });
});

describe('fleetgate devices import', () => {
  const list = (name: string, rows: string[]) => {
    const file = join(house.dir, name);
    writeFileSync(file, `${rows.join('\n')}\n`);
    return file;
  };

  test('5,000 lines of CSV, some broken: each has its result, and a second run sends the broken ones alone', async () => {
    const rows = Array.from({ length: 5000 }, (_, n) =>
      n % 1000 === 7 ? `broken ${n},plant,` : n % 1000 === 8 ? `short-${n}` : `bulk-${n},plant,"hall, ${n}"`,
    );
    const file = list('bulk.csv', ['id,fleet,attributes.place', ...rows]);
    const first = await fleetgate('devices', 'import', file);
    expect(first).toMatchObject({ code: 1, answer: { registered: 4990, refused: 10, done: 0, skipped: 0 } });
    const results = readFileSync(`${file}.results.ndjson`, 'utf8').split('\n').slice(0, -1);
    expect(new Set(results.map((line) => JSON.parse(line).line))).toEqual(
      new Set(Array.from({ length: 5000 }, (_, n) => n + 2)),
    );
    expect((await call('GET', '/v1/devices/bulk-4999')).body.attributes).toEqual({ place: 'hall, 4999' });
    const second = await fleetgate('devices', 'import', file);
    expect(second).toMatchObject({ code: 1, answer: { registered: 0, refused: 10, done: 0, skipped: 4990 } });
    expect((await call('GET', '/v1/fleets/plant')).body.devices.active).toBeGreaterThanOrEqual(4990);
    expect((await call('GET', '/v1/audit/verdict')).body.intact).toBe(true);
  });

  test('killed in the middle, it goes on where it was; nothing is lost or done twice', async () => {
    const rows = Array.from({ length: 4000 }, (_, n) => JSON.stringify({ id: `kill-${n}` }));
    const file = list('kill.ndjson', rows);
    const results = `${file}.results.ndjson`;
    const args = [command, 'devices', 'import', file, '--fleet', 'plant', '--data', join(house.dir, 'data')];
    const child = spawn(process.execPath, args, { stdio: 'ignore' });
    await eventually(() => expect(existsSync(results) && statSync(results).size).toBeGreaterThan(0), {
      pauseMs: 1,
    });
    child.kill('SIGKILL');
    await once(child, 'exit');
    const before = readFileSync(results, 'utf8').split('\n').length - 1;
    expect(before).toBeLessThan(4000);
    // As if the kill had come while the last line was being written.
    writeFileSync(results, readFileSync(results, 'utf8').slice(0, -20));

    const { code, answer } = await fleetgate('devices', 'import', file, '--fleet', 'plant');
    expect(code).toBe(0);
    expect(answer.registered + answer.done + answer.skipped).toBe(4000);
    expect(answer).toMatchObject({ skipped: before - 1, refused: 0 });
    const kept = readFileSync(results, 'utf8')
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line));
    expect(new Set(kept.map(({ id }) => id)).size).toBe(4000);
    const { body } = await call('GET', '/v1/devices?q=kill-&limit=1000');
    expect(body.nextCursor).not.toBeNull();
    // One entry of the audit a device: what was sent twice was done once.
    const registered = new Map<string, number>();
    for (let since = 0; ; ) {
      const { items } = (await call('GET', `/v1/audit?since=${since}&limit=1000`)).body;
      if (items.length === 0) break;
      since = items.at(-1).id;
      for (const { action, target } of items)
        if (action === 'device.register') registered.set(target, (registered.get(target) ?? 0) + 1);
    }
    expect([...registered].filter(([, times]) => times > 1)).toEqual([]);
    expect([...registered.keys()].filter((id) => id.startsWith('kill-'))).toHaveLength(4000);
  });

  test('a file that is no CSV is refused before anything is sent', async () => {
    const file = list('bad.csv', ['id,fleet', 'never-1,plant', 'nev"er-2,plant']);
    const { code, answer } = await fleetgate('devices', 'import', file);
    expect(code).toBe(1);
    expect(answer).toMatch(/line 3/);
    expect((await call('GET', '/v1/devices/never-1')).status).toBe(404);
  });
});

describe('fleetgate enroll', () => {
  const enroll = (...args: string[]) => fleetgate('enroll', '--ca', house.doors.ca, ...args);

  test('--count enrolls many, and a second run those that are missing', async () => {
    const out = join(house.dir, 'many');
    const { body } = await call('POST', '/v1/fleets/plant/tokens', { uses: 41 });
    const many = ['--token', body.token, '--out', out, '--count', '40', '--prefix', 'many'];
    const first = await enroll(...many);
    expect(first.code).toBe(0);
    expect(readdirSync(out).sort()).toEqual(
      [
        'ca.crt',
        ...Array.from({ length: 40 }, (_, n) => [`many-${n + 1}.crt`, `many-${n + 1}.key`]).flat(),
      ].sort(),
    );
    rmSync(join(out, 'many-7.crt'));
    const kept = readFileSync(join(out, 'many-8.crt'), 'utf8');
    const second = await enroll(...many);
    expect(second.answer.filter((each: { skipped?: boolean }) => !each.skipped)).toMatchObject([
      { device: 'many-7', fingerprint: expect.any(String) },
    ]);
    expect(readFileSync(join(out, 'many-8.crt'), 'utf8')).toBe(kept);
  });

  test('--manifest enrolls those of a file with their attributes, --claim by a claim certificate', async () => {
    const line = join(house.dir, 'line');
    const made = await fleetgate('claims', 'create', 'plant', '--uses', '3', '--ttl', '1h', '--out', line);
    expect(made.code).toBe(0);
    const manifest = join(house.dir, 'line.csv');
    writeFileSync(manifest, 'id,attributes.site\nlined-1,Turin\nlined-2,Oslo\n');
    const out = join(house.dir, 'lined');
    const { code } = await enroll('--claim', line, '--manifest', manifest, '--out', out);
    expect(code).toBe(0);
    expect((await call('GET', '/v1/devices/lined-2')).body.attributes).toEqual({ site: 'Oslo' });
    const { answer } = await fleetgate('claims', 'list', 'plant');
    expect(answer).toMatchObject([{ id: made.answer.id, usesLeft: 1, enrolled: 2 }]);
    const dry = await fleetgate('claims', 'revoke', made.answer.id, '--devices', '--dry-run');
    expect(dry.answer).toMatchObject({ dryRun: true, devices: 2 });
  });

  test('in a fleet with manual approval it asks the same again, and --wait waits', async () => {
    const out = join(house.dir, 'waited');
    mkdirSync(out);
    await call('POST', '/v1/fleets', { id: 'guarded', approval: 'manual' });
    const { body } = await call('POST', '/v1/fleets/guarded/tokens', {});
    const one = ['--device', 'guarded-1', '--token', body.token, '--out', out];
    const first = await enroll(...one);
    expect(first.code).toBe(1);
    expect(first.answer).toMatch(/waits for an operator/);
    const pending = await fleetgate('enrollments', 'list', '--state', 'pending');
    const { code } = await fleetgate('enrollments', 'approve', pending.answer[0].id, '--reason', 'seen');
    expect(code).toBe(0);
    expect((await enroll(...one, '--wait', '1s')).code).toBe(0);
    expect(readdirSync(out).sort()).toEqual(['ca.crt', 'guarded-1.crt', 'guarded-1.key']);
  });
});
