/** Assembles the routes of the registry door, a file a noun. */
import type { FastifyInstance } from 'fastify';
import type { Clock } from '#common/clock.ts';
import type { Metrics } from '#common/metrics.ts';
import { adminRoutes } from '../api/admin-routes.ts';
import { anchorRoutes } from '../api/anchor-routes.ts';
import { approvalRoutes } from '../api/approval-routes.ts';
import type { Callers } from '../api/callers.ts';
import { claimRoutes } from '../api/claim-routes.ts';
import { commandRoutes } from '../api/command-routes.ts';
import { deviceRoutes } from '../api/device-routes.ts';
import { enrollRoutes } from '../api/enroll-routes.ts';
import { estRoutes } from '../api/est-routes.ts';
import { feedRoutes } from '../api/feed-routes.ts';
import { fleetRoutes } from '../api/fleet-routes.ts';
import { importRoutes } from '../api/import-routes.ts';
import { issuerRoutes } from '../api/issuer-routes.ts';
import { operatorRoutes } from '../api/operator-routes.ts';
import { pageRoutes } from '../api/pages.ts';
import { policyRoutes } from '../api/policy-routes.ts';
import { profileRoutes } from '../api/profile-routes.ts';
import type { RateLimits } from '../api/rate-limits.ts';
import { renewRoutes } from '../api/renew-routes.ts';
import { revocationRoutes } from '../api/revocation-routes.ts';
import type { LineDesk } from '../authority/line-desk.ts';
import type { Est } from '../est/est.ts';
import type { RegistrySettings } from '../settings.ts';
import type { Nouns } from './nouns.ts';

/** Every route of the registry door; each names its own permission. */
export function routesOf(
  nouns: Nouns,
  {
    settings,
    metrics,
    clock,
    callers,
    limits,
    est,
    desk,
  }: {
    settings: RegistrySettings;
    metrics: Metrics;
    clock: Clock;
    callers: Callers;
    limits: RateLimits;
    est: Est;
    desk: LineDesk;
  },
): readonly ((app: FastifyInstance) => void)[] {
  const {
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
    foreign,
    enrollment,
    claimIssuance,
    registration,
    claimRevocation,
    renewal,
    forecast,
    census,
    rollover,
    status,
    assignments,
    operators,
    policies,
    commands,
    commandOutcomes,
    bulk,
    audit,
    feed,
    gateways,
  } = nouns;
  const { maxCsrSize: maxCsrBytes } = settings.registry;
  return [
    fleetRoutes(fleets, tokens, roles),
    enrollRoutes({
      enrollment,
      callers,
      limits,
      metrics,
      clock,
      maxCsrBytes,
    }),
    estRoutes(est),
    claimRoutes({
      claims,
      claimIssuance,
      claimRevocation,
      maxCsrBytes,
    }),
    approvalRoutes(approvals),
    profileRoutes(profiles),
    issuerRoutes(rollover, census),
    importRoutes({
      registration,
      metrics,
      maxLineBytes: settings.registry.maxImportLine,
      maxCsrBytes,
    }),
    renewRoutes({ renewal, forecast, callers, limits, clock }),
    commandRoutes({ commands, outcomes: commandOutcomes, clock, limits: settings.registry }),
    deviceRoutes(devices, certificates, gateways),
    revocationRoutes(bulk, certificates),
    policyRoutes(policies, assignments),
    operatorRoutes(operators),
    feedRoutes({ feed, gateways, register, desk, clock }),
    anchorRoutes(foreign.anchors, foreign.challenges),
    adminRoutes(apiTokens, audit, status),
    pageRoutes(status),
  ];
}
