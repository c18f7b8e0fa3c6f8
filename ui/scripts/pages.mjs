// The pages of the build, with the budget of each page in kilobytes (1,000 bytes) after brotli compression: HTML, CSS,
// scripts and the largest locale.
/** @type {Record<string, number>} */
export const BUDGETS = { start: 40, login: 40, kitchen: 60, tracking: 40, order: 60, console: 120 };

/**
 * The budget of the script that a page requests once it runs, in the same unit. Such a script is called `later`, and the
 * page's own budget does not contain it.
 * @type {Record<string, number>}
 */
export const LATER_BUDGETS = { kitchen: 10 };

export const PAGES = Object.keys(BUDGETS);

/** Maximum number of requests that a page makes before it calls the API. */
export const MAXIMUM_REQUESTS = 6;
