/** `fleetgate demo`: the main job before your eyes, in a temporary folder, with an exit code that tells the truth. */
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import mqtt, { type MqttClient } from 'mqtt';
import { systemClock } from '#common/clock.ts';
import type { Receipt } from '#common/contract/receipt.ts';
import { openIdentities } from '../simulator/identities.ts';
import { makeForeignCertificate } from '../simulator/impostor.ts';
import type { Identity } from '../simulator/plan.ts';
import { verify } from '../simulator/verify.ts';
import { readConfiguration } from './config.ts';
import { paint } from './output.ts';
import { openRegistryApi, type RegistryApi } from './registry-api.ts';
import { runAll } from './up.ts';
import { registryAccess, type Whereabouts } from './where.ts';

const devices = 40;
const revoked = 8;
const messagesEach = 25;

interface Promised {
  what: string;
  kept: boolean;
  detail: string;
}

export function demoCommand(program: Command): void {
  program
    .command('demo')
    .description('see the main job done in a temporary folder, then end')
    .addHelpText('after', '\nExample:\n  fleetgate demo')
    .action(async () => {
      const dir = mkdtempSync(join(tmpdir(), 'fleetgate-demo-'));
      try {
        process.exitCode = (await demo(dir)) ? 0 : 1;
      } finally {
        rmSync(dir, { recursive: true, force: true });
      }
    });
}

async function demo(dir: string): Promise<boolean> {
  const begunMs = systemClock.elapsed();
  const say = (line: string) => process.stdout.write(`${line}\n`);
  const promises: Promised[] = [];
  const promise = (what: string, kept: boolean, detail: string) => {
    promises.push({ what, kept, detail });
    say(
      `${kept ? paint('green', '✓') : paint('red', '✗')} ${what}${detail === '' ? '' : paint('dim', `  ${detail}`)}`,
    );
  };

  const doors = ['mqtt', 'https', 'registry', 'pki', 'ops'].map((door) => [`${door}.port`, 0]);
  await using house = await runAll(
    readConfiguration(undefined, {
      data: join(dir, 'data'),
      'log.level': 'error',
      ...Object.fromEntries(doors),
    }),
  );
  const { where } = house;
  say(`Fleetgate runs in ${dir}: registry, CA, gateway and file backend in one process.\n`);
  await using api = openRegistryApi(registryAccess({ data: join(dir, 'data') }), 16);

  const enrolledMs = systemClock.elapsed();
  const fleet = await openIdentities({
    api,
    dir: join(dir, 'identities'),
    fleet: 'demo',
    count: devices,
    onEnrolled: () => {},
  });
  promise(
    `${devices} devices enrolled`,
    fleet.length === devices,
    `a key, a CSR and a certificate each, in ${Math.round(systemClock.elapsed() - enrolledMs)} ms`,
  );

  const clients = await Promise.all(
    fleet.map((identity, index) => connect(where, identity, { version: index % 2 ? 5 : 4 })),
  );
  promise(
    `${devices} devices connected over MQTTS`,
    clients.every((each) => each.connected),
    'mutual TLS, half MQTT 3.1.1, half MQTT 5',
  );

  await refusals(where, fleet, promise);
  await telemetry(where, fleet, clients, promise);
  await revocations(api, where, fleet, clients, promise);

  for (const client of clients) client.end(true);
  const broken = promises.filter(({ kept }) => !kept);
  const seconds = ((systemClock.elapsed() - begunMs) / 1000).toFixed(1);
  say('');
  say(
    broken.length === 0
      ? paint(
          'green',
          `All ${promises.length} promises were kept, in ${seconds} s. Next: npm start, and the tour in the README.`,
        )
      : paint(
          'red',
          `${broken.length} of ${promises.length} promises were broken: ${broken.map(({ what }) => what).join('; ')}.`,
        ),
  );
  return broken.length === 0;
}

type Tell = (what: string, kept: boolean, detail: string) => void;

async function refusals(where: Whereabouts, fleet: readonly Identity[], promise: Tell): Promise<void> {
  const [first, second] = fleet as [Identity, Identity];
  const foreign = await foreignIdentity(first);
  const stranger = await connect(where, foreign, {}).then(() => 'let in', refusalOf);
  promise("a certificate of somebody else's CA is refused", stranger !== 'let in', stranger);
  const impostor = await connect(where, first, { clientId: second.id }).then(() => 'let in', refusalOf);
  promise('a device that calls itself by another id is refused', impostor !== 'let in', impostor);
}

async function telemetry(
  where: Whereabouts,
  fleet: readonly Identity[],
  clients: readonly MqttClient[],
  promise: Tell,
): Promise<void> {
  const run = `demo-${process.pid}`;
  const acknowledged = new Map<string, number[]>();
  await Promise.all(
    clients.map(async (client, index) => {
      const { id } = fleet[index]!;
      const numbers: number[] = [];
      acknowledged.set(id, numbers);
      for (let n = 0; n < messagesEach; n++) {
        await client.publishAsync(`devices/${id}/telemetry/demo`, JSON.stringify({ run, device: id, n }), {
          qos: 1,
        });
        numbers.push(n);
      }
    }),
  );
  const refused = await clients[1]!
    .publishAsync(`devices/${fleet[2]!.id}/telemetry`, 'forged', { qos: 1 })
    .then(() => 'accepted', refusalOf);
  promise("a message on another device's topic is refused", refused !== 'accepted', refused);
  let result = await verify(where.events!, run, acknowledged);
  for (let attempt = 0; attempt < 50 && result.lost.length > 0; attempt++) {
    await systemClock.sleep(100);
    result = await verify(where.events!, run, acknowledged);
  }
  promise(
    `${result.acknowledged} messages acknowledged, all in the file backend`,
    result.lost.length === 0,
    `${result.lost.length} lost, ${result.doubled} doubled, checked by id`,
  );
}

async function revocations(
  api: RegistryApi,
  where: Whereabouts,
  fleet: readonly Identity[],
  clients: readonly MqttClient[],
  promise: Tell,
): Promise<void> {
  const doomed = fleet.slice(0, revoked);
  const closed = doomed.map(
    (_, index) =>
      new Promise<void>((resolve) =>
        clients[index]!.connected ? clients[index]!.once('close', () => resolve()) : resolve(),
      ),
  );
  const receipts = await Promise.all(
    doomed.map(({ id }) =>
      api.call<Receipt>('POST', `/v1/devices/${id}/revoke`, { reason: 'keyCompromise' }),
    ),
  );
  await Promise.race([Promise.all(closed), systemClock.sleep(5_000)]);
  const cut = doomed.every((_, index) => !clients[index]!.connected);
  const slowest = Math.max(
    ...receipts.flatMap(({ sessions }) => sessions.map(({ closedAfterMs }) => closedAfterMs)),
  );
  promise(
    `${revoked} devices revoked, their live connections cut`,
    cut && receipts.every(({ complete }) => complete),
    `the slowest ${slowest} ms after the registry's commit`,
  );
  const again = await Promise.all(
    doomed.map((identity) => connect(where, identity, { version: 5 }).then(() => 'let in', refusalOf)),
  );
  promise('none of them gets in again', !again.includes('let in'), again[0] ?? '');
  promise(
    'the others never noticed',
    clients.slice(revoked).every(({ connected }) => connected),
    `${devices - revoked} still connected`,
  );
}

const refusalOf = (error: unknown): string => (error as Error).message;

function connect(
  where: Whereabouts,
  { id, key, certificate, ca }: Identity,
  { version = 4, clientId = id }: { version?: 4 | 5; clientId?: string },
): Promise<MqttClient> {
  const { hostname, port } = new URL(where.mqtts!);
  const client = mqtt.connect({
    host: hostname,
    port: Number(port),
    protocol: 'mqtts',
    key,
    cert: certificate,
    ca: `${ca}${readFileSync(where.ca!, 'utf8')}`,
    clientId,
    protocolVersion: version,
    reconnectPeriod: 0,
  });
  return new Promise((resolve, reject) => {
    client.once('connect', () => resolve(client));
    client.on('error', (error) => {
      reject(error);
      client.end(true);
    });
    client.once('close', () => reject(new Error('the connection was ended')));
  });
}

/** A certificate that looks right and comes from nowhere: self-signed, with the name of a real device. */
async function foreignIdentity({ id, ca }: Identity): Promise<Identity> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  return { id, key, certificate: await makeForeignCertificate(privateKey, id), ca };
}
