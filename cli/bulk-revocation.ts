/** Many revoked by one verb: what would be cut, or what was, in words. */
import type { BulkForecast, BulkReceipt } from '#common/contract/bulk.ts';
import type { NounFlags } from './noun.ts';
import { type Output, paint } from './output.ts';
import type { RegistryApi } from './registry-api.ts';

export interface BulkFlags extends NounFlags {
  reason?: string;
  dryRun?: boolean;
}

/** Connections that are told one by one. */
const mostTold = 20;

/** Gives the order at `path`, or tries it out. */
export async function revokeMany(
  api: RegistryApi,
  output: Output,
  { reason, dryRun }: BulkFlags,
  path: string,
  what: object,
): Promise<void> {
  const answer = await api.call<BulkForecast | BulkReceipt>('POST', path, { ...what, reason, dryRun });
  output.answer(answer, () => (answer.dryRun ? forecastLines(answer) : receiptLines(answer)));
}

const forecastLines = ({ devices, certificates, sessions, first, complete }: BulkForecast): string[] => [
  `${devices} device(s) with ${certificates} certificate(s) would be cut, ${sessions} live connection(s) among them. Nothing was changed.`,
  ...first.map((device) => `  ${device}`),
  ...(first.length < devices ? [`  and ${devices - first.length} more`] : []),
  ...(complete ? [] : [paint('yellow', 'Not every gateway has answered: there may be more connections.')]),
];

function receiptLines({ devices, certificates, sessions, complete }: BulkReceipt): string[] {
  const slowest = sessions.reduce((most, { closedAfterMs }) => Math.max(most, closedAfterMs), 0);
  const told = sessions
    .slice(0, mostTold)
    .map(
      ({ protocol, address, gateway, closedAfterMs }) =>
        `  ${protocol} from ${address} on ${gateway}, closed after ${closedAfterMs} ms`,
    );
  return [
    `${certificates} certificate(s) of ${devices} device(s) are revoked; ${sessions.length} live connection(s) ended, the last after ${slowest} ms.`,
    ...told,
    ...(told.length < sessions.length ? [`  and ${sessions.length - told.length} more`] : []),
    ...(complete
      ? []
      : [
          paint(
            'yellow',
            'Not every gateway has answered yet; those that are away will apply it when they return.',
          ),
        ]),
  ];
}
