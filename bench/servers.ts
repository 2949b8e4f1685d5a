/** The servers under test, each in a process of its own: Fleetgate as its users start it, and mosquitto beside it. */
import { type ChildProcess, execFileSync, fork, spawn } from 'node:child_process';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { systemClock } from '#common/clock.ts';
import type { Identity } from '../simulator/plan.ts';
import type { Order, Target } from './load.ts';

export interface Server extends Target {
  readonly name: string;
  readonly pid: number;
  stop(): Promise<void>;
}

export interface FleetgateServer extends Server {
  readonly registry: string;
  /** Port of the HTTPS door. */
  readonly https: number;
  readonly pki: string;
  readonly ops: string;
  readonly adminToken: string;
}

const command = fileURLToPath(new URL('../bin/fleetgate', import.meta.url));

const stopped = (child: ChildProcess) => async () => {
  if (child.exitCode !== null) return;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGTERM');
  await ended;
};

export async function startFleetgate(dir: string, env: NodeJS.ProcessEnv = {}): Promise<FleetgateServer> {
  const ports = ['mqtts', 'https', 'registry', 'pki', 'ops'].flatMap((door) => [`--${door}-port`, '0']);
  const child = spawn(
    process.execPath,
    [command, 'up', '--data', join(dir, 'fleetgate'), '--log-level', 'error', ...ports],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, FLEETGATE_REGISTRY__ENROLL_RATE: '100000', ...env },
    },
  );
  for await (const line of createInterface({ input: child.stdout! })) {
    if (!line.startsWith('ready ')) continue;
    const ready = JSON.parse(line.slice(6)) as Record<
      'mqtts' | 'https' | 'registry' | 'pki' | 'ops' | 'ca' | 'adminTokenFile',
      string
    >;
    return {
      name: 'fleetgate',
      pid: child.pid!,
      port: Number(new URL(ready.mqtts).port),
      ca: readFileSync(ready.ca, 'utf8'),
      registry: ready.registry,
      https: Number(new URL(ready.https).port),
      pki: ready.pki,
      ops: ready.ops,
      adminToken: readFileSync(ready.adminTokenFile, 'utf8').trim(),
      stop: stopped(child),
    };
  }
  throw new Error('fleetgate ended before it was ready');
}

/** mosquitto with mutual TLS against the fleet's CA: it checks the chain, and nothing else. */
export async function startMosquitto(dir: string, fleetCa: string): Promise<Server> {
  const at = (name: string) => join(dir, name);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: dir, stdio: 'pipe' });
  openssl(
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    'm.key',
    '-out',
    'm.crt',
    '-subj',
    '/CN=localhost',
    '-days',
    '2',
    '-addext',
    'subjectAltName=DNS:localhost,IP:127.0.0.1',
  );
  const port = await freePort();
  writeFileSync(at('fleet-ca.crt'), fleetCa);
  writeFileSync(
    at('m.conf'),
    `listener ${port} 127.0.0.1\ncafile ${at('fleet-ca.crt')}\ncertfile ${at('m.crt')}\nkeyfile ${at('m.key')}\nrequire_certificate true\nallow_anonymous true\nlog_type none\nset_tcp_nodelay true\nmax_inflight_messages 0\nmax_queued_messages 0\n`,
  );
  for (const name of ['m.key', 'm.crt', 'fleet-ca.crt', 'm.conf']) chmodSync(at(name), 0o644);
  chmodSync(dir, 0o755);
  const child = spawn('mosquitto', ['-c', at('m.conf')], {
    stdio: 'inherit',
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` },
  });
  await listening(port);
  return {
    name: 'mosquitto',
    pid: child.pid!,
    port,
    ca: readFileSync(at('m.crt'), 'utf8'),
    stop: stopped(child),
  };
}

/** mosquitto's own client, subscribed to everything: what the peer has instead of a backend. */
export async function startSubscriber(
  dir: string,
  server: Server,
  identity: Identity,
  qos: 0 | 1,
): Promise<{ stop(): Promise<void> }> {
  const at = (name: string) => join(dir, name);
  writeFileSync(at('s.key'), identity.key);
  writeFileSync(at('s.crt'), identity.certificate);
  writeFileSync(at('s-ca.crt'), server.ca);
  const child = spawn(
    'mosquitto_sub',
    ['-h', 'localhost', '-p', `${server.port}`, '-i', 'subscriber', '-q', `${qos}`, '-t', 'devices/#'].concat(
      ['--cafile', at('s-ca.crt'), '--cert', at('s.crt'), '--key', at('s.key')],
    ),
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  await systemClock.sleep(1_000);
  return { stop: stopped(child) };
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

async function listening(port: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = createConnection(port, '127.0.0.1');
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
    if (open) return;
    await systemClock.sleep(50);
  }
  throw new Error('mosquitto did not open its port');
}

/** A generator of load in a process of its own, as something that takes orders: `load.ts`, or another program. */
export class Generator<AnyOrder = Order> {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #next = 1;

  constructor(program = new URL('./load.ts', import.meta.url)) {
    this.#child = fork(fileURLToPath(program), {
      execArgv: ['--max-old-space-size=8192'],
    });
    this.#child.on('message', ({ id, answer, error }: { id: number; answer: unknown; error?: string }) => {
      const waiter = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiter?.resolve(answer);
      else waiter?.reject(new Error(error));
    });
  }

  order<Answer>(order: AnyOrder): Promise<Answer> {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#child.send({ id, order });
    });
  }

  stop(): void {
    this.#child.disconnect();
  }
}
