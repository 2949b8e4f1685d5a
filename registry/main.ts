/** Builds the registry: the only file of this tower that constructs. Opened in order, closed in reverse. */
import { mkdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '#common/clock.ts';
import type { RegistryLine } from '#common/contract/line.ts';
import type { Logger } from '#common/log.ts';
import type { Metrics } from '#common/metrics.ts';
import { OpsDoor } from '#common/ops-door.ts';
import { adminRoutes } from './api/admin-routes.ts';
import { Answers } from './api/answers.ts';
import { Callers } from './api/callers.ts';
import { deviceRoutes } from './api/device-routes.ts';
import { RegistryDoor } from './api/door.ts';
import { enrollRoutes } from './api/enroll-routes.ts';
import { feedRoutes } from './api/feed-routes.ts';
import { fleetRoutes } from './api/fleet-routes.ts';
import { operatorRoutes } from './api/operator-routes.ts';
import { pageRoutes } from './api/pages.ts';
import { PkiDoor } from './api/pki-door.ts';
import { policyRoutes } from './api/policy-routes.ts';
import { RateLimits } from './api/rate-limits.ts';
import { revocationRoutes } from './api/revocation-routes.ts';
import { ApiTokens } from './authority/api-tokens.ts';
import { Audit } from './authority/audit.ts';
import { BulkRevocation } from './authority/bulk-revocation.ts';
import { Certificates } from './authority/certificates.ts';
import { Devices } from './authority/devices.ts';
import { Enrollment, type EnrollmentStep } from './authority/enroll.ts';
import { Feed } from './authority/feed.ts';
import { Fleets } from './authority/fleets.ts';
import { GatewayRegister } from './authority/gateway-register.ts';
import { Gateways } from './authority/gateways.ts';
import { Issuance } from './authority/issuance.ts';
import { firstIssuer, Issuers } from './authority/issuers.ts';
import { LineDesk } from './authority/line-desk.ts';
import { Operators } from './authority/operators.ts';
import { Policies } from './authority/policies.ts';
import { Profiles } from './authority/profiles.ts';
import { RoleAssignments } from './authority/role-assignments.ts';
import { Roles } from './authority/roles.ts';
import { Status } from './authority/status.ts';
import { Tokens } from './authority/tokens.ts';
import { openCaKeys } from './ca/ca-keys.ts';
import { DoorCertificates } from './ca/door-certificates.ts';
import { IssuingCa } from './ca/issuing-ca.ts';
import type { RegistrySettings } from './settings.ts';
import { FileDirectory } from './store/directory.ts';
import { Store } from './store/store.ts';

export interface RegistryOptions {
  dataDir: string;
  host: string;
  settings: RegistrySettings;
  trustDomain: string;
  metrics: Metrics;
  log: Logger;
  clock: Clock;
  /** Further DNS names and addresses of the server certificate. */
  doorNames?: readonly string[];
  /** For a registry that runs alone: its own metrics and probes. A gateway in the same process has a door for both. */
  opsPort?: number;
  /** Told before each step of an enrollment. */
  observe?: (step: EnrollmentStep) => void;
}

export interface Registry extends AsyncDisposable {
  /** For a gateway in the same process. */
  readonly line: RegistryLine;
  readonly urls: { readonly registry: string; readonly pki: string; readonly ops?: string };
  /** PEM bundle: root and issuing CA. */
  readonly caFile: string;
  readonly adminTokenFile: string;
  close(): Promise<void>;
}

const certificateCountMs = 30_000;

/** Faults `conflict` when another process holds the folder or wrote it with a newer program. */
export async function openRegistry(options: RegistryOptions): Promise<Registry> {
  const { dataDir, host, settings, trustDomain, metrics, log, clock } = options;
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  await using opened = new AsyncDisposableStack();

  const store = opened.use(Store.open(dataDir));
  const directory = opened.use(FileDirectory.open(store.path, () => store.writer.commits));
  const keys = await openCaKeys(dataDir, settings.ca, clock);
  const certificatesOfCa = { root: keys.root, issuing: keys.issuing };
  const pki = opened.use(await PkiDoor.open(host, settings.pki.port, () => certificatesOfCa, log));
  const pkiUrl = urlOf('http', host, pki.port);
  const ca = await IssuingCa.open(keys, () => `${pkiUrl}/ca/issuing.cer`);
  const names = ['localhost', '127.0.0.1', '::1', hostname(), ...(options.doorNames ?? [])];
  const doors = opened.use(
    await DoorCertificates.open({
      ca,
      names: [...new Set(names)],
      lifetimeMs: settings.ca.doorLifetime,
      clock,
      log,
    }),
  );

  const { read, writer } = store;
  const audit = new Audit(read, clock);
  const feed = new Feed(read, clock);
  const gateways = new Gateways({ feed, metrics, clock, log, timeoutMs: settings.registry.receiptTimeout });
  const tokens = new Tokens({ read, writer, audit, clock });
  const apiTokens = new ApiTokens({ read, writer, audit, clock });
  const parts = { read, writer, audit, feed, gateways, clock };
  const fleets = new Fleets(parts);
  const roles = new Roles(parts);
  const devices = new Devices(parts);
  const certificates = new Certificates(parts);
  const register = new GatewayRegister({
    read,
    writer,
    audit,
    ca,
    trustDomain,
    lifetimeMs: settings.ca.doorLifetime,
    clock,
  });
  const { observe = () => {} } = options;
  const issuers = new Issuers(parts);
  const profiles = new Profiles(parts);
  const issuance = new Issuance({
    ...parts,
    store,
    issuers,
    trustDomain,
    giveBack: { token: (write, id) => tokens.giveBack(write, id) },
    observe,
  });
  const enrollment = new Enrollment({ issuance, fleets, profiles, tokens, chains: [], clock, observe });
  const desk = new LineDesk({});
  const assignments = new RoleAssignments(parts);
  const operators = new Operators({ ...parts, issuers, trustDomain });
  const status = new Status({ read, certificates, gateways, feed, clock, caNotAfterMs: ca.notAfterMs });

  const adminTokenFile = join(dataDir, 'admin.token');
  await roles.seed();
  await profiles.seed(settings.ca);
  await issuers.admit(firstIssuer, ca);
  await apiTokens.seed(adminTokenFile);
  const abandoned = await issuance.abandonReservations();
  if (abandoned > 0) log.warn({ abandoned }, 'Enrollments that a crash had cut short were abandoned.');

  const countCertificates = async () => {
    for (const [state, count] of Object.entries(await certificates.counts()))
      metrics.certificates.set({ state }, count);
  };
  await countCertificates();
  opened.defer(
    clock.every(certificateCountMs, () => {
      countCertificates().catch((error) => log.error({ error }, 'The certificates could not be counted.'));
    }),
  );

  // What a crash had cut short: in lots, beside all else.
  const closing = new AbortController();
  const settled = assignments
    .settle(closing.signal)
    .catch((error) => log.error({ error }, 'Roles by attributes could not be settled.'));
  opened.defer(async () => {
    closing.abort();
    await settled;
  });

  const limits = new RateLimits(settings.registry);
  const callers = new Callers({ tokens: apiTokens, gateways: register, operators, limits, clock });
  const door = opened.use(
    await RegistryDoor.open({
      host,
      settings: settings.registry,
      doors,
      callers,
      answers: new Answers({ read, writer, clock, ttlMs: settings.registry.idempotencyTtl }),
      clock,
      log,
      routes: [
        fleetRoutes(fleets, tokens, roles),
        enrollRoutes({
          enrollment,
          callers,
          limits,
          metrics,
          clock,
          maxCsrBytes: settings.registry.maxCsrSize,
        }),
        deviceRoutes(devices, certificates, gateways),
        revocationRoutes(new BulkRevocation(parts), certificates),
        policyRoutes(new Policies(read), assignments),
        operatorRoutes(operators),
        feedRoutes({ feed, gateways, register, desk, clock }),
        adminRoutes(apiTokens, audit, status),
        pageRoutes(status),
      ],
    }),
  );

  const probes = { store: () => store.probe() };
  const refresh = countCertificates;
  const ops =
    options.opsPort === undefined
      ? undefined
      : opened.use(await OpsDoor.open({ host, port: options.opsPort, metrics, probes, refresh }));

  const stack = opened.move();
  const close = () => stack.disposeAsync();
  return {
    line: {
      directory,
      doors,
      attach: (gateway) => gateways.attach(gateway),
      ask: async (kind, ask) => desk.answer(kind, ask, 'embedded'),
    },
    urls: {
      registry: urlOf('https', host, door.port),
      pki: pkiUrl,
      ...(ops && { ops: urlOf('http', host, ops.port) }),
    },
    caFile: join(dataDir, 'ca', 'ca.crt'),
    adminTokenFile,
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** A URL that works on this machine: a wildcard address is reached by loopback. */
function urlOf(scheme: string, host: string, port: number): string {
  const reached = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  return `${scheme}://${reached.includes(':') ? `[${reached}]` : reached}:${port}`;
}
