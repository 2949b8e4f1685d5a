/**
 * Everything that foreign CAs need, put together: their terms, chains, CRLs, responders, introductions. Opened by main.ts
 * as one, and closed as one.
 */
import { join } from 'node:path';
import type { Kysely } from 'kysely';
import { type Clock, timestamp } from '#common/clock.ts';
import type { DirectoryEntry } from '#common/contract/directory.ts';
import type { Fingerprint } from '#common/identity.ts';
import type { Logger } from '#common/log.ts';
import type { Metrics } from '#common/metrics.ts';
import type { ForeignSettings } from '../settings.ts';
import type { Tables } from '../store/tables.ts';
import type { Writer } from '../store/writer.ts';
import { AnchorChains } from './anchor-chain.ts';
import { AnchorRegister } from './anchor-register.ts';
import { Anchors } from './anchors.ts';
import type { Audit } from './audit.ts';
import type { Feed } from './feed.ts';
import { ForeignCrls } from './foreign-crls.ts';
import { ForeignRevocation } from './foreign-revocation.ts';
import { ForeignStatus } from './foreign-status.ts';
import type { Gateways } from './gateways.ts';
import { Introductions } from './introductions.ts';
import { JitLimits } from './jit-limits.ts';
import { OcspRefresh } from './ocsp-refresh.ts';
import { OcspResponders } from './ocsp-responders.ts';
import { Challenges } from './possession.ts';
import type { Profiles } from './profiles.ts';

export interface ForeignTrustOptions {
  read: Kysely<Tables>;
  writer: Writer;
  audit: Audit;
  feed: Feed;
  gateways: Gateways;
  profiles: Profiles;
  find: (fingerprint: Fingerprint) => DirectoryEntry | undefined;
  dataDir: string;
  settings: ForeignSettings;
  metrics: Metrics;
  clock: Clock;
  log: Logger;
}

export interface ForeignTrust extends AsyncDisposable {
  readonly anchors: Anchors;
  readonly challenges: Challenges;
  readonly chains: AnchorChains;
  readonly introductions: Introductions;
  /** What an operator should know, each as the end of a sentence. */
  problems(): string[];
}

const reportMs = 1_000;

export async function openForeignTrust(options: ForeignTrustOptions): Promise<ForeignTrust> {
  const { read, writer, dataDir, settings, metrics, clock, log } = options;
  await using opened = new AsyncDisposableStack();
  const register = await AnchorRegister.open(read, writer);
  const parts = { ...options, register };
  const revocation = new ForeignRevocation(parts);
  const limits = { maxBytes: settings.maxCrlSize, timeoutMs: settings.fetchTimeout };
  const dir = join(dataDir, 'foreign-crls');
  const crls: ForeignCrls = opened.use(
    new ForeignCrls({
      register,
      dir,
      limits,
      clock,
      log,
      onChanged: (anchor) => revocation.apply(anchor, crls),
    }),
  );
  const responders = new OcspResponders({ timeoutMs: settings.fetchTimeout, clock });
  const status = new ForeignStatus({
    register,
    crls,
    askResponder: (leaf, issuer, url) => responders.ask(leaf, issuer, url),
  });
  const refresh = opened.use(new OcspRefresh({ ...parts, status, revocation }));
  const chains = new AnchorChains({ register, status, clock });
  const challenges = new Challenges(clock);
  const jit = new JitLimits({ read, maxDevices: settings.maxJitDevices, perSecond: settings.jitRate, clock });

  const report = () => {
    metrics.foreignStatusRemainingSeconds.reset();
    for (const { id, statusUntilMs } of register.all)
      if (statusUntilMs !== null)
        metrics.foreignStatusRemainingSeconds.set({ issuer: id }, (statusUntilMs - clock.now()) / 1000);
  };
  const stop = clock.every(reportMs, report);
  opened.defer(stop);
  // The doors do not wait for somebody else's web server: what the disk has is good until it ends.
  for (const anchor of register.all)
    crls
      .follow(anchor)
      .catch((error) => log.error({ error }, 'The CRLs of an anchor could not be followed.'));

  const stack = opened.move();
  return {
    anchors: new Anchors({ ...parts, challenges, crls, maxAnchors: settings.maxAnchors }),
    challenges,
    chains,
    introductions: new Introductions({ ...parts, chains, refresh, crls, revocation, limits: jit }),
    problems: () => problemsOf(register, crls, clock.now()),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

function problemsOf(register: AnchorRegister, crls: ForeignCrls, nowMs: number): string[] {
  return register.all.flatMap(({ id, statusUntilMs }) => {
    const troubles = crls.view(id).flatMap(({ problem }) => problem ?? []);
    if (statusUntilMs !== null && statusUntilMs < nowMs)
      return [
        `the revocation state of the anchor ${id} is not known, and its devices are refused: ${troubles.join('; ')}`,
      ];
    const until = statusUntilMs === null ? '' : `, what is known holds until ${timestamp(statusUntilMs)}`;
    return troubles.map((problem) => `of the anchor ${id} ${problem}${until}`);
  });
}
