/** The command: every verb of the contract, as people type it and as scripts read it. */
import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { command, House } from '../harness/house.ts';

let house: House;
beforeAll(async () => {
  house = await House.start();
});
afterAll(() => house[Symbol.asyncDispose]());

/** Runs in the folder of the house, where the command finds its server by itself. */
const run = (...args: string[]) => {
  const done = spawnSync(process.execPath, [command, ...args], { cwd: house.dir, encoding: 'utf8' });
  return { code: done.status, stdout: done.stdout, stderr: done.stderr };
};
const json = (...args: string[]) => {
  const { code, stdout, stderr } = run(...args, '--json');
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout);
};

test('a fleet from nothing to revoked, by the command alone', () => {
  expect(json('fleets', 'create', 'plant')).toMatchObject({ id: 'plant' });
  expect(json('fleets', 'list')).toHaveLength(1);
  expect(json('fleets', 'show', 'plant')).toMatchObject({ id: 'plant', role: 'device' });
  const { token, id } = json('tokens', 'create', 'plant', '--device', 'pump-1');
  expect(json('tokens', 'list', 'plant')).toMatchObject([{ id, deviceId: 'pump-1' }]);

  json('enroll', '--device', 'pump-1', '--token', token, '--out', 'keys');
  const at = (name: string) => join(house.dir, 'keys', name);
  expect(statSync(at('pump-1.key')).mode & 0o777).toBe(0o600);
  expect(readFileSync(at('pump-1.crt'), 'utf8').match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
  expect(existsSync(at('ca.crt'))).toBe(true);
  const [leaf, issuing] = readFileSync(at('pump-1.crt'), 'utf8').split(/(?<=-----END CERTIFICATE-----\n)/);
  expect(new X509Certificate(leaf!).verify(new X509Certificate(issuing!).publicKey)).toBe(true);

  expect(json('devices', 'list', '--fleet', 'plant')).toMatchObject([{ id: 'pump-1', state: 'active' }]);
  const device = json('devices', 'show', 'pump-1');
  expect(device).toMatchObject({ id: 'pump-1', sessions: [] });
  const [certificate] = json('certificates', 'list', '--device', 'pump-1') as { fingerprint: string }[];
  expect(json('certificates', 'show', certificate!.fingerprint)).toMatchObject({ state: 'issued' });
  expect(json('devices', 'disable', 'pump-1')).toMatchObject({ complete: true });
  expect(json('devices', 'enable', 'pump-1')).toMatchObject({ complete: true });
  expect(json('certificates', 'revoke', certificate!.fingerprint)).toMatchObject({ complete: true });
  expect(json('devices', 'revoke', 'pump-1', '--reason', 'keyCompromise')).toMatchObject({ complete: true });
  json('devices', 'delete', 'pump-1');
  expect(json('explain', 'pump-1')).toMatchObject({
    verdict: expect.stringMatching(/^pump-1 is not registered/),
    items: [],
  });
  expect(json('audit', 'verify')).toMatchObject({ intact: true });
  expect(json('audit', 'list').length).toBeGreaterThan(5);
  expect(json('status').healthy).toBe(true);
  expect(json('ca', 'show')).toHaveLength(2);
  expect(run('ca', 'export').stdout).toMatch(/BEGIN CERTIFICATE/);
  expect(run('doctor').code).toBe(0);
  const second = json('tokens', 'create', 'plant', '--uses', '5', '--ttl', '2h');
  expect(run('tokens', 'revoke', second.id).code).toBe(0);
});

test('a hold and its end, and what an order would cut', async () => {
  const { fingerprint } = await house.api.enroll('bay', 'crane-1');
  const hold = ['certificates', 'revoke', fingerprint, '--reason', 'certificateHold'];
  expect(json(...hold)).toMatchObject({ complete: true });
  expect(json('certificates', 'reinstate', fingerprint)).toMatchObject({ complete: true });
  expect(run('certificates', 'reinstate', fingerprint).code).toBe(1);
  const cut = { dryRun: true, devices: 1, certificates: 1, sessions: 0, first: ['crane-1'] };
  expect(json('fleets', 'revoke', 'bay', '--dry-run')).toMatchObject(cut);
  expect(json('devices', 'revoke', 'crane-1', '--dry-run')).toMatchObject(cut);
  expect(json('certificates', 'revoke', fingerprint, '--dry-run')).toMatchObject(cut);
  expect(json('certificates', 'revoke', '--issuer', 'issuing', '--dry-run').first).toContain('crane-1');
  expect(run('certificates', 'revoke').code).toBe(2);
  expect(run('fleets', 'revoke', 'bay').stdout).toMatch(/1 certificate\(s\) of 1 device\(s\) are revoked/);
});

test('the server is held to a head that was noted', () => {
  const { hash } = json('audit', 'head');
  expect(run('audit', 'verify', '--head', hash).code).toBe(0);
  expect(run('audit', 'verify', '--head', 'a'.repeat(64)).code).toBe(1);
  expect(run('audit', 'verify', '--head', 'short').code).toBe(2);
});

test('enroll --count makes many, each with a key of its own', () => {
  run('fleets', 'create', 'yard');
  const { token } = json('tokens', 'create', 'yard', '--uses', '12');
  const done = run('enroll', '--count', '12', '--prefix', 'lamp', '--token', token, '--out', 'lamps');
  expect(done.code, done.stderr).toBe(0);
  const keys = new Set(
    Array.from({ length: 12 }, (_, n) => readFileSync(join(house.dir, 'lamps', `lamp-${n + 1}.key`), 'utf8')),
  );
  expect(keys.size).toBe(12);
});

describe('errors', () => {
  test('say what to do next, on stderr, with exit code 1', () => {
    const refused = run('devices', 'show', 'nobody');
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toMatch(/nobody/);
    const lost = spawnSync(process.execPath, [command, 'devices', 'list', '--data', '/nonexistent'], {
      encoding: 'utf8',
    });
    expect(lost.status).toBe(1);
    expect(lost.stderr).toMatch(/fleetgate up/);
  });

  test.each([
    [['nonsense']],
    [['devices', 'nonsense']],
    [['devices', 'show']],
    [['tokens', 'create']],
    [['up', '--nonsense']],
    [['simulate', '--devices', 'many']],
  ])('of usage are exit code 2: %j', (args) => expect(run(...args).code).toBe(2));

  test('a threshold that fails is exit code 3', () => {
    const flags = ['--devices', '2', '--rate', '20', '--duration', '1s', '--identities', 'sim'];
    expect(run('simulate', ...flags, '--threshold', 'puback.p50<0.001ms').code).toBe(3);
    expect(run('simulate', ...flags, '--threshold', 'puback.p50<10s', '--threshold', 'errors==0').code).toBe(
      0,
    );
  });
});

/** Every command, as the files of the nouns add them: their helps are too many to start a process for each. */
async function commandsOf(): Promise<Command[]> {
  const program = new Command('fleetgate');
  // These two are programs: to import them is to start them.
  const programs = ['main.ts', 'worker.ts'];
  for (const file of readdirSync('cli').filter((name) => name.endsWith('.ts') && !programs.includes(name))) {
    const parts: Record<string, unknown> = await import(pathToFileURL(resolve('cli', file)).href);
    for (const [name, add] of Object.entries(parts))
      if (/Commands?$/.test(name)) (add as (to: Command) => void)(program);
  }
  const all = (command: Command): Command[] =>
    command.commands.length === 0 ? [command] : command.commands.flatMap(all);
  return program.commands.flatMap(all);
}

test('every verb has a help with an example', async () => {
  const verbs = await commandsOf();
  expect(verbs.length).toBeGreaterThan(40);
  const without = verbs.filter((verb) => {
    let help = '';
    verb.configureOutput({
      writeOut: (text) => {
        help += text;
      },
    });
    verb.outputHelp();
    return !/Example:\n {2}fleetgate /.test(help);
  });
  expect(without.map((verb) => verb.name())).toEqual([]);
  // Of one, as people ask for it; and the same by its other name.
  expect(run('policies', 'test', '--help').stdout).toMatch(/Example/);
  expect(json('roles', 'list')).toEqual(json('policies', 'list'));
});
