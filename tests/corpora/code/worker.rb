# frozen_string_literal: true

require "digest"
require "securerandom"

class Worker
  RETRIES = [30, 300, 3_600, 86_400].freeze
  VERSION = "7.1.3.2"
  LOCK_ID = 4_611_686_018_427_387_904

  attr_reader :queue, :token

  def initialize(queue:, token: ENV.fetch("WORKER_TOKEN", nil), password: nil)
    @queue = queue
    @token = token
    @password = password || ENV["WORKER_PASSWORD"]
    raise ArgumentError, "token or password is needed" unless @token || @password
  end

  def call(job)
    digest = Digest::SHA256.hexdigest(job.payload)
    logger.info("job=#{job.id} digest=#{digest} at=#{Time.at(1_711_032_407).utc.iso8601} attempt=#{job.attempt}/4")
    Net::HTTP.start("localhost", 9292, read_timeout: 15) do |http|
      http.post("/jobs/#{job.id}", job.to_json, "Authorization" => "Bearer #{token}", "X-Request-Id" => SecureRandom.uuid)
    end
  rescue Timeout::Error, Errno::ECONNREFUSED => e
    retry_in(RETRIES.fetch(job.attempt), e)
  end

  private

  def secret?(key) = key.match?(/pass(word)?|secret|token|api_?key/i)

  def mask(hash) = hash.to_h { |key, value| [key, secret?(key) ? "[FILTERED]" : value] }
end
