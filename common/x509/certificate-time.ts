/** The times of a certificate (RFC 5280, section 4.1.2.5): UTCTime up to 2049, GeneralizedTime from 2050, in Zulu, with seconds. */
import { type Der, malformed, tags } from './der.ts';

const utcPattern = /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/;
const generalizedPattern = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/;

/** Milliseconds since 1970; 99991231235959Z, "no end" (section 4.1.2.5), is read as what it says. Faults `certificate-malformed` (`time`). */
export function readTime({ tag, body }: Der): number {
  const pattern = tag === tags.utcTime ? utcPattern : generalizedPattern;
  if (tag !== tags.utcTime && tag !== tags.generalizedTime)
    throw malformed('time', 'a time has the wrong type');
  const parts = body.length <= 15 ? pattern.exec(body.toString('latin1')) : null;
  if (!parts) throw malformed('time', 'a time is not in UTC to the second');
  const [written = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts.slice(1).map(Number);
  const year = tag === tags.utcTime ? written + (written >= 50 ? 1900 : 2000) : written;
  if (tag === tags.generalizedTime && year < 2050) {
    throw malformed('time', 'a time before 2050 is a GeneralizedTime');
  }
  const isDate = month >= 1 && month <= 12 && day >= 1 && day <= daysIn(year, month);
  if (!isDate || hour > 23 || minute > 59 || second > 59)
    throw malformed('time', 'a time is not in the calendar');
  return (((daysSince1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second) * 1000;
}

const isLeap = (year: number): boolean => year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
const monthDays = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
const daysIn = (year: number, month: number): number =>
  month === 2 && isLeap(year) ? 29 : monthDays[month - 1]!;

/** Days of the Gregorian calendar, counted from March so that the leap day is the last of its year. */
function daysSince1970(year: number, month: number, day: number): number {
  const marchYear = month > 2 ? year : year - 1;
  const dayOfYear = Math.floor((153 * ((month + 9) % 12) + 2) / 5) + day - 1;
  const leapDays = Math.floor(marchYear / 4) - Math.floor(marchYear / 100) + Math.floor(marchYear / 400);
  return marchYear * 365 + leapDays + dayOfYear - 719_468;
}
