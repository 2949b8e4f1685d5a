/** Assembles the authority: every noun of the registry with what it needs. */
import type { Clock } from '#common/clock.ts';
import type { Logger } from '#common/log.ts';
import type { Metrics } from '#common/metrics.ts';
import { anchorCredential } from '../authority/anchor-credential.ts';
import { ApiTokens } from '../authority/api-tokens.ts';
import { Approvals } from '../authority/approvals.ts';
import { BulkRevocation } from '../authority/bulk-revocation.ts';
import { Certificates } from '../authority/certificates.ts';
import { ClaimIssuance } from '../authority/claim-issuance.ts';
import { ClaimRevocation } from '../authority/claim-revocation.ts';
import { Claims } from '../authority/claims.ts';
import { Devices } from '../authority/devices.ts';
import { Enrollment, type EnrollmentStep } from '../authority/enroll.ts';
import { Expiry } from '../authority/expiry.ts';
import { Fleets } from '../authority/fleets.ts';
import { Forecast } from '../authority/forecast.ts';
import { openForeignTrust } from '../authority/foreign-trust.ts';
import { GatewayRegister } from '../authority/gateway-register.ts';
import { type GiveBack, Issuance } from '../authority/issuance.ts';
import { IssuerCensus } from '../authority/issuer-census.ts';
import { IssuerRollover, type RolloverStep } from '../authority/issuer-rollover.ts';
import { Operators } from '../authority/operators.ts';
import { Policies } from '../authority/policies.ts';
import { Profiles } from '../authority/profiles.ts';
import { Registration } from '../authority/registration.ts';
import { Renewal, type RenewalStep } from '../authority/renewal.ts';
import { Retirement } from '../authority/retirement.ts';
import { RoleAssignments } from '../authority/role-assignments.ts';
import { Roles } from '../authority/roles.ts';
import { Sightings } from '../authority/sightings.ts';
import { Status } from '../authority/status.ts';
import { Suspicions } from '../authority/suspicions.ts';
import { Tokens } from '../authority/tokens.ts';
import type { RegistrySettings } from '../settings.ts';
import type { Certification } from './certification.ts';
import { openCommands } from './commands.ts';
import type { Ground } from './ground.ts';

export interface NounsOptions {
  readonly dataDir: string;
  readonly settings: RegistrySettings;
  readonly trustDomain: string;
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly clock: Clock;
  readonly observe: (step: EnrollmentStep | RenewalStep | RolloverStep) => void;
}

export type Nouns = Awaited<ReturnType<typeof openNouns>>;

export async function openNouns(
  { dataDir, settings, trustDomain, metrics, log, clock, observe }: NounsOptions,
  { store, directory, audit, feed, gateways, parts }: Ground,
  { keys, issuers, recordPlan }: Certification,
  opened: AsyncDisposableStack,
) {
  const { read, writer } = store;
  const tokens = new Tokens({ read, writer, audit, clock });
  const apiTokens = new ApiTokens({ read, writer, audit, clock });
  const fleets = new Fleets(parts);
  const roles = new Roles(parts);
  const commands = openCommands({ ...parts, metrics, limits: settings.registry });
  const devices = new Devices({
    ...parts,
    withdrawCommands: (write, device) => commands.commands.withdrawAll(write, device),
  });
  const certificates = new Certificates(parts);
  const register = new GatewayRegister({
    read,
    writer,
    audit,
    issuers,
    record: recordPlan('gateway'),
    trustDomain,
    lifetimeMs: settings.ca.doorLifetime,
    clock,
  });
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
  const suspicions = new Suspicions(parts);
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
  const census = new IssuerCensus({ ...parts, keys });
  const rollover = new IssuerRollover({ ...parts, issuers, census, keys, observe });
  const status = new Status({
    ...parts,
    certificates,
    expiry,
    issuers,
    census,
    problems: () => foreign.problems(),
  });
  const assignments = new RoleAssignments(parts);
  const operators = new Operators({ ...parts, issuers, trustDomain });

  return {
    tokens,
    apiTokens,
    fleets,
    roles,
    devices,
    certificates,
    register,
    profiles,
    claims,
    approvals,
    issuance,
    foreign,
    enrollment,
    claimIssuance,
    registration,
    claimRevocation,
    retirement,
    sightings,
    suspicions,
    renewal,
    expiry,
    forecast,
    census,
    rollover,
    status,
    assignments,
    operators,
    ...commands,
    policies: new Policies(read),
    bulk: new BulkRevocation(parts),
    audit,
    feed,
    gateways,
  };
}
