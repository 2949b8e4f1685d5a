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
import { anchorRoutes } from './api/anchor-routes.ts';
import { Answers } from './api/answers.ts';
import { approvalRoutes } from './api/approval-routes.ts';
import { Callers } from './api/callers.ts';
import { claimRoutes } from './api/claim-routes.ts';
import { deviceRoutes } from './api/device-routes.ts';
import { RegistryDoor } from './api/door.ts';
import { enrollRoutes } from './api/enroll-routes.ts';
import { estRoutes } from './api/est-routes.ts';
import { feedRoutes } from './api/feed-routes.ts';
import { fleetRoutes } from './api/fleet-routes.ts';
import { importRoutes } from './api/import-routes.ts';
import { operatorRoutes } from './api/operator-routes.ts';
import { pageRoutes } from './api/pages.ts';
import { type PkiContent, PkiDoor } from './api/pki-door.ts';
import { policyRoutes } from './api/policy-routes.ts';
import { profileRoutes } from './api/profile-routes.ts';
import { RateLimits } from './api/rate-limits.ts';
import { renewRoutes } from './api/renew-routes.ts';
import { revocationRoutes } from './api/revocation-routes.ts';
import { anchorCredential } from './authority/anchor-credential.ts';
import { ApiTokens } from './authority/api-tokens.ts';
import { Approvals } from './authority/approvals.ts';
import { Audit } from './authority/audit.ts';
import { BulkRevocation } from './authority/bulk-revocation.ts';
import { CertificateStatuses } from './authority/certificate-status.ts';
import { Certificates } from './authority/certificates.ts';
import { ClaimIssuance } from './authority/claim-issuance.ts';
import { ClaimRevocation } from './authority/claim-revocation.ts';
import { Claims } from './authority/claims.ts';
import { Devices } from './authority/devices.ts';
import { Enrollment, type EnrollmentStep } from './authority/enroll.ts';
import { Expiry } from './authority/expiry.ts';
import { Feed } from './authority/feed.ts';
import { Fleets } from './authority/fleets.ts';
import { Forecast } from './authority/forecast.ts';
import { openForeignTrust } from './authority/foreign-trust.ts';
import { GatewayRegister } from './authority/gateway-register.ts';
import { Gateways } from './authority/gateways.ts';
import { recordHouseCertificate } from './authority/house-certificates.ts';
import { type GiveBack, Issuance } from './authority/issuance.ts';
import { firstIssuer, Issuers } from './authority/issuers.ts';
import { LineDesk } from './authority/line-desk.ts';
import { OcspIssuers } from './authority/ocsp-issuers.ts';
import { laterAnswer, OcspResponder } from './authority/ocsp-responder.ts';
import { Operators } from './authority/operators.ts';
import { Policies } from './authority/policies.ts';
import { Profiles } from './authority/profiles.ts';
import { Registration } from './authority/registration.ts';
import { Renewal, type RenewalStep } from './authority/renewal.ts';
import { Retirement } from './authority/retirement.ts';
import { RevocationLists } from './authority/revocation-lists.ts';
import { RoleAssignments } from './authority/role-assignments.ts';
import { Roles } from './authority/roles.ts';
import { Sightings } from './authority/sightings.ts';
import { stapleDesk } from './authority/staple-desk.ts';
import { Status } from './authority/status.ts';
import { Sweeper } from './authority/sweeper.ts';
import { Tokens } from './authority/tokens.ts';
import { openCaKeys } from './ca/ca-keys.ts';
import { DoorCertificates } from './ca/door-certificates.ts';
import { IssuingCa } from './ca/issuing-ca.ts';
import type { CertificatePlan } from './ca/plan.ts';
import { Est } from './est/est.ts';
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
  /** Told before each step of an enrollment or a renewal. */
  observe?: (step: EnrollmentStep | RenewalStep) => void;
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
const approvalSweepMs = 60_000;
const expiryCountMs = 60_000;

/** Faults `conflict` when another process holds the folder or wrote it with a newer program. */
export async function openRegistry(options: RegistryOptions): Promise<Registry> {
  const { dataDir, host, settings, trustDomain, metrics, log, clock } = options;
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  await using opened = new AsyncDisposableStack();

  const store = opened.use(Store.open(dataDir));
  const directory = opened.use(FileDirectory.open(store.path, () => store.writer.commits));
  const keys = await openCaKeys(dataDir, settings.ca, clock);
  opened.defer(() => keys.signer.close());
  // The door opens before there is anything behind it, since certificates carry its address.
  let pkiContent: PkiContent = {
    certificates: () => ({ root: keys.root, issuing: keys.issuing }),
    crl: () => undefined,
    ocsp: () => laterAnswer,
  };
  const { pki: pkiSettings } = settings;
  const pki = opened.use(
    await PkiDoor.open({
      host,
      port: pkiSettings.port,
      maxOcspRequest: pkiSettings.maxOcspRequest,
      content: {
        certificates: () => pkiContent.certificates(),
        crl: (name) => pkiContent.crl(name),
        ocsp: (request) => pkiContent.ocsp(request),
      },
      clock,
      log,
    }),
  );
  const pkiUrl = urlOf('http', host, pki.port);
  const pkiBase = (pkiSettings.url ?? pkiUrl).replace(/\/$/, '');
  const revocationUrls = { crl: [`${pkiBase}/crl/${firstIssuer}.crl`], ocsp: [`${pkiBase}/ocsp`] };
  const ca = await IssuingCa.open(
    keys,
    () => `${pkiBase}/ca/${firstIssuer}.cer`,
    () => revocationUrls,
  );

  const { read, writer } = store;
  const record = recordHouseCertificate(writer, clock);
  const recordPlan = (purpose: 'door' | 'gateway') => (plan: CertificatePlan, name: string) =>
    record({
      issuer: firstIssuer,
      serial: plan.serialNumber,
      purpose,
      name,
      not_after_ms: plan.notAfterMs,
    });
  let responder: OcspResponder | undefined;
  const names = ['localhost', '127.0.0.1', '::1', hostname(), ...(options.doorNames ?? [])];
  const doors = opened.use(
    await DoorCertificates.open({
      ca,
      record: (plan) => recordPlan('door')(plan, plan.commonName),
      staple: (certificate) => responder?.about(certificate)?.der ?? null,
      names: [...new Set(names)],
      lifetimeMs: settings.ca.doorLifetime,
      clock,
      log,
    }),
  );

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
    record: recordPlan('gateway'),
    trustDomain,
    lifetimeMs: settings.ca.doorLifetime,
    clock,
  });
  const { observe = () => {} } = options;
  const issuers = new Issuers(parts);
  const profiles = new Profiles(parts);
  const claims = new Claims({ read, fleets, clock });
  const giveBack: Record<string, GiveBack> = {
    token: (write, id) => tokens.giveBack(write, id),
    claim: (write, id) => claims.giveBack(write, id),
    approval: (write, id) => approvals.giveBack(write, id),
  };
  const approvals = new Approvals({
    ...parts,
    giveBack,
    retryMs: settings.registry.approvalRetry,
    ttlMs: settings.registry.approvalTtl,
    most: settings.registry.maxPendingEnrollments,
  });
  const issuance = new Issuance({ ...parts, store, issuers, trustDomain, giveBack, observe });
  const foreign = opened.use(
    await openForeignTrust({
      ...parts,
      profiles,
      find: (fingerprint) => directory.find(fingerprint),
      dataDir,
      settings: settings.foreign,
      metrics,
      log,
    }),
  );
  const enrollment = new Enrollment({
    issuance,
    fleets,
    profiles,
    tokens,
    approvals,
    chains: [(chain) => claims.right(chain), anchorCredential(foreign.chains)],
    clock,
    observe,
  });
  const claimIssuance = new ClaimIssuance({ ...parts, issuers, fleets, profiles, trustDomain });
  const registration = new Registration({ ...parts, issuance, fleets, profiles });
  const claimRevocation = new ClaimRevocation({ ...parts, store, approvals });
  const retirement = new Retirement(parts);
  const sightings = new Sightings({ writer, profiles, clock });
  const renewal = new Renewal({
    ...parts,
    issuance,
    issuers,
    fleets,
    profiles,
    retirement,
    sightings,
    metrics,
    maxCsrBytes: settings.registry.maxCsrSize,
    perDevice: settings.registry.renewalsPerDevice,
    observe,
  });
  const expiry = new Expiry({ ...parts, metrics });
  const forecast = new Forecast({ read, clock });
  const status = new Status({
    read,
    certificates,
    expiry,
    gateways,
    feed,
    clock,
    caNotAfterMs: ca.notAfterMs,
    problems: () => foreign.problems(),
  });
  const assignments = new RoleAssignments(parts);
  const operators = new Operators({ ...parts, issuers, trustDomain });

  const adminTokenFile = join(dataDir, 'admin.token');
  await roles.seed();
  await profiles.seed(settings.ca);
  await issuers.admit(firstIssuer, ca);
  await apiTokens.seed(adminTokenFile);
  const abandoned = await issuance.abandonReservations();
  if (abandoned > 0) log.warn({ abandoned }, 'Enrollments that a crash had cut short were abandoned.');

  const statuses = opened.use(CertificateStatuses.open(store.path));
  const ocspIssuers = opened.use(
    await OcspIssuers.open({ issuers, feed, record, lifetimeMs: settings.ca.ocspSignerLifetime, clock, log }),
  );
  const ocsp = new OcspResponder({
    issuers: () => ocspIssuers.all,
    statusOf: (issuer, serial) => statuses.of(issuer, serial),
    commits: () => writer.commits,
    lifetimeMs: pkiSettings.ocspLifetime,
    clock,
    log,
  });
  responder = ocsp;
  const lists = opened.use(
    await RevocationLists.open({
      issuers,
      feed,
      writer,
      store: store.path,
      dir: join(dataDir, 'crl'),
      lifetimeMs: pkiSettings.crlLifetime,
      metrics,
      clock,
      log,
    }),
  );
  pkiContent = {
    certificates: () => ({
      root: keys.root,
      ...Object.fromEntries(issuers.ids.map((id) => [id, issuers.find(id).issuing])),
    }),
    crl: (name) => lists.find(name),
    ocsp: (request) => ocsp.answer(request),
  };
  const limits = new RateLimits(settings.registry);
  const est = new Est({
    enrollment,
    renewal,
    directory,
    fleets,
    profiles,
    caCertificates: () => issuers.ids.map((id) => issuers.find(id).bundle),
    limits,
    metrics,
    clock,
    log,
    settings: settings.registry,
  });
  const desk = new LineDesk({
    staple: stapleDesk(ocsp),
    est: (ask) => est.answer(ask),
    sighted: ({ sightings: seen }) => sightings.report(seen),
    renew: ({ chain, csr }, gateway) =>
      renewal.renew(chain.map(fromBase64), fromBase64(csr), `gateway:${gateway}`),
    introduce: ({ chain }, gateway) => foreign.introductions.introduce(chain, gateway),
  });

  const countCertificates = async () => {
    for (const [state, count] of Object.entries(await certificates.counts()))
      metrics.certificates.set({ state }, count);
  };
  await countCertificates();
  await expiry.report();
  opened.defer(
    clock.every(certificateCountMs, () => {
      countCertificates().catch((error) => log.error({ error }, 'The certificates could not be counted.'));
    }),
  );

  opened.defer(
    clock.every(approvalSweepMs, () => {
      approvals.sweep().catch((error) => log.error({ error }, 'Old enrollments could not be forgotten.'));
    }),
  );

  const count = { clock, log, periodMs: expiryCountMs };
  opened.use(new Sweeper({ ...count, sweeps: { count: () => expiry.report().then(() => 0) } }));
  opened.use(
    new Sweeper({
      clock,
      log,
      periodMs: settings.registry.sweepInterval,
      sweeps: { retire: () => retirement.sweep(), expire: () => expiry.sweep() },
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
        estRoutes(est),
        claimRoutes({
          claims,
          claimIssuance,
          claimRevocation,
          maxCsrBytes: settings.registry.maxCsrSize,
        }),
        approvalRoutes(approvals),
        profileRoutes(profiles),
        importRoutes({
          registration,
          maxLineBytes: settings.registry.maxImportLine,
          maxCsrBytes: settings.registry.maxCsrSize,
        }),
        renewRoutes({ renewal, forecast, callers, limits, clock }),
        deviceRoutes(devices, certificates, gateways),
        revocationRoutes(new BulkRevocation(parts), certificates),
        policyRoutes(new Policies(read), assignments),
        operatorRoutes(operators),
        feedRoutes({ feed, gateways, register, desk, clock }),
        anchorRoutes(foreign.anchors, foreign.challenges),
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

const fromBase64 = (text: string): Buffer => Buffer.from(text, 'base64');

/** A URL that works on this machine: a wildcard address is reached by loopback. */
function urlOf(scheme: string, host: string, port: number): string {
  const reached = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  return `${scheme}://${reached.includes(':') ? `[${reached}]` : reached}:${port}`;
}
