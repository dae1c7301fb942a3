// SPDX-License-Identifier: MIT
// Prints what HdrHistogram for Java reads in a histogram log, in the words of hist_write.c;
// the distribution of all intervals goes to a second file.

import java.io.FileInputStream;
import java.io.PrintStream;
import org.HdrHistogram.EncodableHistogram;
import org.HdrHistogram.Histogram;
import org.HdrHistogram.HistogramIterationValue;
import org.HdrHistogram.HistogramLogReader;

class HistRead {
	static final double[] PERCENTILES = {0, 1, 10, 25, 50, 75, 90, 95, 99, 99.9, 99.99, 99.999, 100};

	public static void main(String[] arguments) throws Exception {
		HistogramLogReader reader = new HistogramLogReader(new FileInputStream(arguments[0]));
		Histogram all = new Histogram(60000000000L, 3);
		EncodableHistogram interval;

		while ((interval = reader.nextIntervalHistogram()) != null) {
			Histogram histogram = (Histogram) interval;
			describe(histogram);
			all.add(histogram);
		}
		try (PrintStream distribution = new PrintStream(arguments[1])) {
			all.outputPercentileDistribution(distribution, 1000.0);
		}
	}

	static void describe(Histogram histogram) {
		StringBuilder text = new StringBuilder("interval ");

		text.append(histogram.getTag() == null ? "-" : histogram.getTag());
		text.append(" " + histogram.getStartTimeStamp() + " " + histogram.getEndTimeStamp());
		text.append(" count " + histogram.getTotalCount() + " max " + histogram.getMaxValue());
		for (double percentile : PERCENTILES)
			text.append(" " + histogram.getValueAtPercentile(percentile));
		System.out.println(text);
		for (HistogramIterationValue value : histogram.recordedValues())
			System.out.println(histogram.lowestEquivalentValue(value.getValueIteratedTo()) + " "
					+ value.getCountAtValueIteratedTo());
	}
}
