/** Builds the gateway: the only file of this tower that constructs. Opened in order, closed in reverse. */
import type { Clock } from '#common/clock.ts';
import type { Change } from '#common/contract/change.ts';
import type { CommandOffer } from '#common/contract/command.ts';
import type { RegistryLine } from '#common/contract/line.ts';
import { urlOf } from '#common/http/url.ts';
import type { Logger } from '#common/log.ts';
import type { Metrics } from '#common/metrics.ts';
import { OpsDoor, type Probe } from '#common/ops-door.ts';
import { DirectoryCorridor } from './admission/corridor.ts';
import { Introduction } from './admission/introduction.ts';
import { Journal } from './admission/journal.ts';
import { isGone, standingOf } from './admission/standing-right.ts';
import { CommandDesk } from './commands/desk.ts';
import { Replies } from './commands/replies.ts';
import { ConnectLimits } from './door/connect-limits.ts';
import { HandshakeQueue } from './door/handshake-queue.ts';
import { Proxied } from './door/proxied.ts';
import { OwnTicketKeys, type TicketKeys } from './door/ticket-keys.ts';
import { HttpDoor } from './http/door.ts';
import { CloneWatch } from './limits/clone-watch.ts';
import { Flapping } from './limits/flapping.ts';
import { Meters } from './limits/meters.ts';
import { MqttDoor } from './mqtt/door.ts';
import type { NeighbourLine } from './mqtt/neighbours.ts';
import { SessionStore } from './mqtt/store/session-store.ts';
import { withdraw, withdrawGone } from './mqtt/store/withdrawal.ts';
import { Eviction } from './revocation/eviction.ts';
import { LocalGatewayPeer } from './revocation/gateway-peer.ts';
import { type Ownership, soleOwner } from './sessions/ownership.ts';
import { Sessions } from './sessions/sessions.ts';
import type { GatewaySettings, LimitSettings, ProxySettings } from './settings.ts';
import { leftoverSpools, spoolLabel } from './telemetry/leftover-spools.ts';
import { Telemetry } from './telemetry/telemetry.ts';
import { Sightings } from './upstream/sightings.ts';

export interface GatewayOptions {
  dataDir: string;
  host: string;
  name: string;
  settings: GatewaySettings;
  /** Descriptors of sockets that listen already, for the doors that have one. */
  sockets?: { readonly mqtts?: number; readonly https?: number; readonly ops?: number };
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
  const { dataDir, host, name, settings, sockets, line, metrics, log, clock, company } = options;
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
  const flapping = flappingOf(settings.limits, clock, metrics);
  const corridor = new DirectoryCorridor({
    directory,
    introduction,
    journal,
    metrics,
    clock,
    saw: (fingerprint, nowMs) => sightings.saw(fingerprint, nowMs),
    conduct: flapping && ((entry) => flapping.judge(entry)),
    maxLagMs: settings.upstream.maxLag,
  });
  const processes = Array.from({ length: workers }, (_, index) => `gateway-${index + 1}`);
  const store = opened.use(
    await SessionStore.open({
      dataDir,
      process: processes[worker - 1]!,
      neighbours: processes.filter((_, index) => index !== worker - 1),
      settings: settings.mqtt,
      clock,
      log,
    }),
  );
  const withdrawn = (change: Change) => withdraw(store, change);
  const eviction = new Eviction({ gateway: name, sessions, corridor, directory, clock, withdrawn });
  const { ask } = line;
  const commands = opened.use(new CommandDesk({ ask, clock, log }));
  const replies = new Replies({ ask, most: settings.mqtt.maxReplies });
  const takeOffer = (command: CommandOffer | null) => commands.offer(command);
  // Attached before the first device comes in: no revocation may fall between.
  const outlook = { directory, clock, maxLagMs: settings.upstream.maxLag };
  opened.defer(line.attach(new LocalGatewayPeer({ name, sessions, journal, eviction, outlook, takeOffer })));
  opened.defer(clock.every(expirySweepMs, () => eviction.sweep()));
  await withdrawGone(store, (device) => isGone(directory, device));

  const limits = new ConnectLimits(settings.limits, clock);
  const tickets = company?.tickets ?? opened.use(new OwnTicketKeys(clock, settings.tls.ticketLifetime));
  const onDropped = () => metrics.handshakesDroppedTotal.inc();
  const handshakes = new HandshakeQueue({ limits: settings.limits, clock, onDropped });
  const { messageRatePatience: patienceMs, connections: size } = settings.limits;
  const clones = new CloneWatch({ settings: settings.clones, ask: line.ask, clock, log, metrics, size });
  company?.ownership.packs((session) => clones.pack(session));
  const meters = new Meters({ clock, clones, patienceMs, size });
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
    meters,
    clones,
    ownership: company?.ownership ?? soleOwner,
    neighbours: company?.neighbours ?? null,
    commands,
    replies,
  };
  const { proxyTimeout: timeoutMs, maxProxyHeader: maxHeader } = settings.limits;
  const proxiedBy = (proxy: ProxySettings) =>
    proxy.from.length === 0 ? undefined : new Proxied({ ...proxy, timeoutMs, maxHeader, clock });
  const { intake } = telemetry;
  const mqtt = opened.use(
    await MqttDoor.open({
      ...door,
      settings: settings.mqtt,
      fd: sockets?.mqtts,
      proxied: proxiedBy(settings.mqtt.proxy),
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
      fd: sockets?.https,
      proxied: proxiedBy(settings.https.proxy),
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
    : opened.use(
        await OpsDoor.open({ host, port: settings.ops.port, fd: sockets?.ops, metrics, probes, refresh }),
      );

  const stack = opened.move();
  const close = () => stack.disposeAsync();
  return {
    urls: {
      mqtts: urlOf('mqtts', host, mqtt.port),
      https: urlOf('https', host, https.port),
      ...(ops && { ops: urlOf('http', host, ops.port) }),
    },
    ports: { mqtts: mqtt.port, https: https.port },
    refresh,
    probes,
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Null when nobody is counted. */
function flappingOf(limits: LimitSettings, clock: Clock, metrics: Metrics): Flapping | null {
  const { flappingConnects: connects, flappingWindow, flappingBan, flappingLongestBan } = limits;
  if (connects === 0) return null;
  return new Flapping({
    clock,
    connects,
    windowMs: flappingWindow,
    banMs: flappingBan,
    longestBanMs: flappingLongestBan,
    onBan: () => metrics.flappingBansTotal.inc(),
  });
}
