/** Sockets that were opened by somebody else: systemd's protocol, played by another language, and by systemd itself. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { apiClient } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { command, type Doors } from '../harness/house.ts';
import { run, withPrograms } from '../harness/peer-program.ts';
import { connectBytes, RawMqtt } from '../harness/raw-mqtt.ts';

const launcher = fileURLToPath(new URL('../harness/hand-over.py', import.meta.url));
/** As deploy/systemd/fleetgate.service has it: nothing is to be started in between. */
const server = (data: string) => [
  process.execPath,
  '--max-semi-space-size=4',
  command,
  'up',
  '--data',
  data,
  '--log-level',
  'warn',
];

withPrograms(['python3'], 'sockets that are handed over', () => {
  const lines: string[] = [];
  let child: ChildProcess;
  let dir: string;
  afterAll(async () => {
    child.stdin!.end();
    await rm(dir, { recursive: true, force: true });
  });
  const line = (pattern: RegExp): Promise<string> =>
    eventually(
      () => {
        const index = lines.findIndex((each) => pattern.test(each));
        if (index < 0) throw new Error(`no ${pattern} in:\n${lines.join('\n')}`);
        return lines.splice(index, 1)[0]!;
      },
      { timeoutMs: 30_000 },
    );
  const start = async (): Promise<{ pid: number; doors: Doors }> => {
    child.stdin!.write('go\n');
    const pid = Number((await line(/^started /)).split(' ')[1]);
    return { pid, doors: JSON.parse((await line(/^ready /)).slice(6)) };
  };

  test('every door listens on its own, and a restart loses no attempt to connect', async () => {
    dir = await mkdtemp(join(tmpdir(), 'activated-'));
    child = spawn('python3', [launcher, 'ops:mqtts:https:pki:registry', ...server(join(dir, 'data'))], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    createInterface({ input: child.stdout! }).on('line', (each) => lines.push(each));
    const [, ops, mqtts, https, pki, registry] = (await line(/^ports /)).split(' ').map(Number);

    const first = await start();
    const portOf = (url: string) => Number(new URL(url).port);
    expect(
      Object.values([
        first.doors.ops,
        first.doors.mqtts,
        first.doors.https,
        first.doors.pki,
        first.doors.registry,
      ]).map(portOf),
    ).toEqual([ops, mqtts, https, pki, registry]);
    const token = (await readFile(first.doors.adminTokenFile, 'utf8')).trim();
    const api = apiClient(first.doors.registry, await readFile(first.doors.ca, 'utf8'), token);
    const device = await api.enroll('plant', 'pump');
    await api.close();
    using before = await RawMqtt.connected(device, mqtts!);

    process.kill(first.pid, 'SIGTERM');
    expect(await before.ended()).toBe(0x8b);
    expect(await line(/^ended /)).toBe('ended 0');
    // Nobody is there; the system takes the connections all the same.
    const waiting = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const socket = net.connect({ host: '127.0.0.1', port: mqtts! });
        await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
        return socket;
      }),
    );
    const shaking = waiting.map((socket) => RawMqtt.open(device, 0, 5, { socket }));
    const second = await start();
    for (const opening of shaking) {
      using raw = await opening;
      raw.send(connectBytes('pump', 5));
      expect((await raw.next('connack')).reasonCode).toBe(0);
    }
    process.kill(second.pid, 'SIGTERM');
    expect(await line(/^ended /)).toBe('ended 0');
  });
});

withPrograms(['python3'], 'sockets that are handed over to several workers', () => {
  test('they share them, and each serves who comes to it', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'activated-'));
    const args = [launcher, 'mqtts:https', ...server(join(dir, 'data')), '--workers', '2'];
    for (const door of ['registry', 'pki', 'ops']) args.push(`--${door}-port`, '0');
    const child = spawn('python3', args, { stdio: ['pipe', 'pipe', 'ignore'] });
    const lines: string[] = [];
    createInterface({ input: child.stdout! }).on('line', (each) => lines.push(each));
    try {
      child.stdin!.write('go\n');
      const ready = await eventually(
        () => {
          const found = lines.find((each) => each.startsWith('ready '));
          if (!found) throw new Error(`not ready: ${lines.join('; ')}`);
          return found;
        },
        { timeoutMs: 60_000 },
      );
      const doors = JSON.parse(ready.slice(6)) as Doors;
      const [, mqtts] = lines
        .find((each) => each.startsWith('ports '))!
        .split(' ')
        .map(Number);
      expect(Number(new URL(doors.mqtts).port)).toBe(mqtts);
      const token = (await readFile(doors.adminTokenFile, 'utf8')).trim();
      const api = apiClient(doors.registry, await readFile(doors.ca, 'utf8'), token);
      const device = await api.enroll('plant', 'pump');
      const seen = new Set<string>();
      await eventually(
        async () => {
          using raw = await RawMqtt.connected(device, mqtts!);
          const { body } = await api.call('GET', '/v1/devices/pump');
          seen.add(body.sessions[0].gateway);
          expect(raw.closed).toBe(false);
          expect([...seen].sort()).toEqual(['gateway/1', 'gateway/2']);
        },
        { timeoutMs: 30_000 },
      );
      await api.close();
      process.kill(Number(lines.find((each) => each.startsWith('started '))!.split(' ')[1]), 'SIGTERM');
      await eventually(() => expect(lines).toContain('ended 0'), { timeoutMs: 20_000 });
    } finally {
      child.stdin!.end();
      await rm(dir, { recursive: true, force: true });
    }
  }, 120_000);
});

withPrograms(['systemd-socket-activate'], 'systemd', () => {
  test('systemd-socket-activate starts it at the first connection', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'activated-'));
    const free = await new Promise<number>((resolve) => {
      const probe = net.createServer().listen(0, '127.0.0.1', () => {
        const { port } = probe.address() as net.AddressInfo;
        probe.close(() => resolve(port));
      });
    });
    const args = ['-l', `127.0.0.1:${free}`, '--fdname=ops', ...server(join(dir, 'data'))];
    const others = ['mqtts', 'https', 'registry', 'pki'].flatMap((door) => [`--${door}-port`, '0']);
    const child = spawn('systemd-socket-activate', [...args, ...others], { stdio: 'ignore' });
    try {
      await eventually(async () => expect((await fetch(`http://127.0.0.1:${free}/livez`)).status).toBe(200), {
        timeoutMs: 30_000,
      });
    } finally {
      child.kill('SIGTERM');
      await new Promise((resolve) => child.once('exit', resolve));
      await rm(dir, { recursive: true, force: true });
    }
  });
});

test('the launcher says so when it would lose them', async () => {
  const { code, stderr } = await run(
    `LISTEN_FDS=1 exec bash -c 'LISTEN_PID=$$ exec ${process.execPath} ${command} up'`,
    tmpdir(),
  );
  expect(code).toBe(1);
  expect(stderr).toMatch(/Start it as: .*--max-semi-space-size=4/);
});
