/** Logging: one JSON line a record on stderr. A message is a constant sentence; what varies goes into fields. */
import { pino } from 'pino';

export type LogFields = Record<string, unknown>;

export interface Logger {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
}

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** A logger on stderr, so that stdout stays for answers. */
export function openLog(level: LogLevel, name: string): Logger {
  return pino(
    { level, name, base: undefined, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination(2),
  );
}

/** A logger that drops everything. */
export const silentLog: Logger = { debug() {}, info() {}, warn() {}, error() {} };
