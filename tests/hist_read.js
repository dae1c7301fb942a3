// SPDX-License-Identifier: MIT
// Prints what hdr-histogram-js reads in a histogram log, in the words of hist_write.c.
"use strict";

const fs = require("fs");
const { HistogramLogReader } = require("hdr-histogram-js");

const PERCENTILES = [0, 1, 10, 25, 50, 75, 90, 95, 99, 99.9, 99.99, 99.999, 100];

const reader = new HistogramLogReader(fs.readFileSync(process.argv[2], "utf8"), 64);
let histogram;

while ((histogram = reader.nextIntervalHistogram()) !== null) {
	const words = ["interval", histogram.tag === "NO TAG" ? "-" : histogram.tag];

	words.push(histogram.startTimeStampMsec, histogram.endTimeStampMsec);
	words.push("count", histogram.totalCount, "max", histogram.maxValue);
	for (const percentile of PERCENTILES)
		words.push(histogram.getValueAtPercentile(percentile));
	console.log(words.join(" "));
	for (let i = 0; i < histogram.countsArrayLength; i++)
		if (histogram.getCountAtIndex(i) > 0)
			console.log(histogram.valueFromIndex(i) + " " + histogram.getCountAtIndex(i));
}
