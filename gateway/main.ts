/** Builds the gateway: the only file of this tower that constructs. Opened in order, closed in reverse. */
import type { Clock } from '#common/clock.ts';
import type { Change } from '#common/contract/change.ts';
import type { RegistryLine } from '#common/contract/line.ts';
import type { Logger } from '#common/log.ts';
import type { Metrics } from '#common/metrics.ts';
import { OpsDoor, type Probe } from '#common/ops-door.ts';
import { DirectoryCorridor } from './admission/corridor.ts';
import { Introduction } from './admission/introduction.ts';
import { Journal } from './admission/journal.ts';
import { isGone, standingOf } from './admission/standing-right.ts';
import { ConnectLimits } from './door/connect-limits.ts';
import { HandshakeQueue } from './door/handshake-queue.ts';
import { OwnTicketKeys, type TicketKeys } from './door/ticket-keys.ts';
import { HttpDoor } from './http/door.ts';
import { MqttDoor } from './mqtt/door.ts';
import type { NeighbourLine } from './mqtt/neighbours.ts';
import { SessionStore } from './mqtt/store/session-store.ts';
import { withdraw, withdrawGone } from './mqtt/store/withdrawal.ts';
import { Eviction } from './revocation/eviction.ts';
import { LocalGatewayPeer } from './revocation/gateway-peer.ts';
import { type Ownership, soleOwner } from './sessions/ownership.ts';
import { Sessions } from './sessions/sessions.ts';
import type { GatewaySettings } from './settings.ts';
import { leftoverSpools, spoolLabel } from './telemetry/leftover-spools.ts';
import { Telemetry } from './telemetry/telemetry.ts';
import { Sightings } from './upstream/sightings.ts';

export interface GatewayOptions {
  dataDir: string;
  host: string;
  name: string;
  settings: GatewaySettings;
  line: RegistryLine;
  metrics: Metrics;
  log: Logger;
  clock: Clock;
  /** Absent for a gateway that is alone. */
  company?: Company;
}

/** What a gateway shares with others at the same ports. Whoever started them has the ops door. */
export interface Company {
  /** From 1, of so many. */
  readonly worker: number;
  readonly workers: number;
  readonly ownership: Ownership;
  readonly tickets: TicketKeys;
  readonly neighbours: NeighbourLine;
}

export interface Gateway extends AsyncDisposable {
  readonly urls: { readonly mqtts: string; readonly https: string; readonly ops?: string };
  readonly ports: { readonly mqtts: number; readonly https: number };
  /** Brings the metrics up to date. */
  refresh(): Promise<void>;
  readonly probes: Readonly<Record<string, Probe>>;
  close(): Promise<void>;
}

/** How late a session whose certificate has run out may still be there. */
const expirySweepMs = 5_000;

/** Faults `conflict` when another process has the spool. Doors open last, when all behind them is ready. */
export async function openGateway(options: GatewayOptions): Promise<Gateway> {
  const { dataDir, host, name, settings, line, metrics, log, clock, company } = options;
  const { directory, doors } = line;
  await using opened = new AsyncDisposableStack();

  const { spool, backends, routes } = settings;
  const { worker, workers } = company ?? { worker: 1, workers: 1 };
  const carry = async (label: string) =>
    opened.use(await Telemetry.open({ dataDir, label, spool, backends, routes, clock, log, metrics }));
  const telemetry = await carry(spoolLabel(worker));
  const leftovers: Telemetry[] = [];
  for (const label of await leftoverSpools(dataDir, worker, workers)) leftovers.push(await carry(label));
  const sessions = new Sessions();
  const journal = new Journal(name, settings.limits.journalSize);
  const sightings = opened.use(
    new Sightings({ ask: line.ask, clock, log, intervalMs: settings.upstream.sightingInterval }),
  );
  const introduction = new Introduction({ directory, ask: line.ask, limits: settings.limits, clock });
  const corridor = new DirectoryCorridor({
    directory,
    introduction,
    journal,
    metrics,
    clock,
    saw: (fingerprint, nowMs) => sightings.saw(fingerprint, nowMs),
    maxLagMs: settings.upstream.maxLag,
  });
  const store = opened.use(
    await SessionStore.open({
      dataDir,
      process: `gateway-${worker}`,
      shared: workers > 1,
      settings: settings.mqtt,
      clock,
      log,
    }),
  );
  const withdrawn = (change: Change) => withdraw(store, change);
  const eviction = new Eviction({ gateway: name, sessions, corridor, directory, clock, withdrawn });
  // Attached before the first device comes in: no revocation may fall between.
  const outlook = { directory, clock, maxLagMs: settings.upstream.maxLag };
  opened.defer(line.attach(new LocalGatewayPeer({ name, sessions, journal, eviction, outlook })));
  opened.defer(clock.every(expirySweepMs, () => eviction.sweep()));
  await withdrawGone(store, (device) => isGone(directory, device));

  const limits = new ConnectLimits(settings.limits, clock);
  const tickets = company?.tickets ?? opened.use(new OwnTicketKeys(clock, settings.tls.ticketLifetime));
  const onDropped = () => metrics.handshakesDroppedTotal.inc();
  const handshakes = new HandshakeQueue({ limits: settings.limits, clock, onDropped });
  const door = {
    host,
    reusePort: company !== undefined,
    tickets,
    limits,
    tls: settings.tls,
    doors,
    handshakes,
    clock,
    log,
    metrics,
    corridor,
    sessions,
    ownership: company?.ownership ?? soleOwner,
    neighbours: company?.neighbours ?? null,
  };
  const { intake } = telemetry;
  const mqtt = opened.use(
    await MqttDoor.open({
      ...door,
      settings: settings.mqtt,
      intake,
      ask: line.ask,
      store,
      standing: (device) => standingOf(directory, device),
    }),
  );
  const https = opened.use(
    await HttpDoor.open({
      ...door,
      settings: settings.https,
      topics: settings.mqtt,
      ask: line.ask,
      enrollRatePerAddress: settings.limits.enrollRatePerAddress,
      intake,
      audience: mqtt.broker,
      mqtt: mqtt.annex(),
    }),
  );
  const refresh = async () => {
    sessions.report(metrics);
    mqtt.broker.report(metrics);
    metrics.handshakesUnderWay.set(handshakes.underWay);
    metrics.handshakesWaiting.set(handshakes.waiting);
    const lagMs = directory.lagMs();
    metrics.directoryLagSeconds.set(Number.isFinite(lagMs) ? lagMs / 1000 : Number.POSITIVE_INFINITY);
    await telemetry.report(leftovers);
  };
  const probes = {
    telemetry: () => telemetry.probe(),
    sessions: () => store.probe(),
    directory: () =>
      directory.lagMs() <= settings.upstream.maxLag || 'the registry has not been heard for too long',
  };
  const ops = company
    ? undefined
    : opened.use(await OpsDoor.open({ host, port: settings.ops.port, metrics, probes, refresh }));

  const stack = opened.move();
  const close = () => stack.disposeAsync();
  const url = (scheme: string, port: number) => `${scheme}://${reachable(host)}:${port}`;
  return {
    urls: {
      mqtts: url('mqtts', mqtt.port),
      https: url('https', https.port),
      ...(ops && { ops: url('http', ops.port) }),
    },
    ports: { mqtts: mqtt.port, https: https.port },
    refresh,
    probes,
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** A wildcard address is reached by loopback; an IPv6 address stands in brackets. */
function reachable(host: string): string {
  const address = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  return address.includes(':') ? `[${address}]` : address;
}
